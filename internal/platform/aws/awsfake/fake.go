// Package awsfake is a stateful fake of the part of AWS that the driver uses: IAM users, STS and the Secrets Manager. It
// behaves as AWS documents where the compatible server of the testbed does not, and holds every request and every answer
// against AWS's published API model: what the model does not allow fails the test.
package awsfake

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Account is the id of the fake's AWS account.
const Account = "123456789012"

// Fake is an AWS account. Its exported fields are set before the first request.
type Fake struct {
	// URL is where it listens.
	URL string
	// Delay is how long reads do not know of a change, and requests about a new user do not find it.
	Delay time.Duration
	// NoBulk makes GetAccountAuthorizationDetails be refused: the login may not.
	NoBulk bool

	t      testing.TB
	models map[string]*model

	mu       sync.Mutex
	live     *state
	history  []snapshot
	admins   map[string]admin
	secrets  map[string]*storedSecret
	throttle int
	calls    []string
}

// admin is a login that belongs to no user of the account.
type admin struct {
	secret string
	allows func(action string) bool
}

type snapshot struct {
	at    time.Time
	state *state
}

// apiError is an error of AWS.
type apiError struct {
	code, message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func refuse(code, format string, args ...any) error {
	return &apiError{code: code, message: fmt.Sprintf(format, args...)}
}

// commonErrors may come from any operation, with their HTTP status
// (IAM API Reference, "Common Errors"; Secrets Manager API Reference, "Common Errors").
var commonErrors = map[string]int{
	"AccessDenied": 403, "AccessDeniedException": 400, "InvalidClientTokenId": 403, "SignatureDoesNotMatch": 403,
	"UnrecognizedClientException": 400, "InvalidSignatureException": 400, "MissingAuthenticationToken": 403,
	"Throttling": 400, "ThrottlingException": 400, "ValidationError": 400, "ValidationException": 400, "InvalidAction": 400,
}

// New starts a fake that ends with the test.
func New(t testing.TB) *Fake {
	t.Helper()
	f := &Fake{t: t, models: map[string]*model{}, live: newState(), admins: map[string]admin{}, secrets: map[string]*storedSecret{}}
	for _, service := range []string{"iam", "sts", "secretsmanager"} {
		m, err := loadModel(service)
		if err != nil {
			t.Fatalf("the API model of %s: %v", service, err)
		}
		f.models[service] = m
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// AddAdmin makes an access key of an administrator who may do what allows says ("iam:GetUser").
func (f *Fake) AddAdmin(allows func(action string) bool) (id, secret string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, secret = "AKIA"+rand.Text()[:16], rand.Text()
	f.admins[id] = admin{secret: secret, allows: allows}
	return id, secret
}

// Throttle makes the next n requests be refused as too many.
func (f *Fake) Throttle(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.throttle = n
}

// Calls lists the operations that were asked for so far.
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// violation fails the test for what AWS's published model does not allow.
func (f *Fake) violation(format string, args ...any) {
	f.t.Errorf("against the API model of AWS: "+format, args...)
}

func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := caller{}
	service, err := f.authenticate(r, body, &c)
	m := f.models[service]
	if m == nil {
		service, m = "iam", f.models["iam"]
	}
	name, in := "", record{}
	var out record
	if err == nil {
		name, in, err = f.decode(r, body, service, m)
	}
	if err == nil {
		f.calls = append(f.calls, name)
		out, err = f.run(service, name, c, in)
	}
	if err != nil {
		f.writeError(w, service, m, name, err)
		return
	}
	f.writeAnswer(w, service, m, name, out)
}

// caller is who sent a request.
type caller struct {
	keyID  string
	user   *user // nil for an administrator
	allows func(action string) bool
}

// authenticate verifies the signature (Signature Version 4) by making it again.
func (f *Fake) authenticate(r *http.Request, body []byte, c *caller) (service string, err error) {
	parts := map[string]string{}
	header := strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) != 5 {
		return "", refuse("MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	service = scope[3]
	unknown, mismatch := "InvalidClientTokenId", "SignatureDoesNotMatch"
	if service == "secretsmanager" {
		unknown, mismatch = "UnrecognizedClientException", "InvalidSignatureException"
	}
	secret, ok := f.secretOf(scope[0], c)
	if !ok {
		return service, refuse(unknown, "The security token included in the request is invalid.")
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 15*time.Minute {
		return service, refuse(mismatch, "Signature expired")
	}
	again, err := http.NewRequestWithContext(context.Background(), r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return service, err
	}
	for name := range strings.SplitSeq(parts["SignedHeaders"], ";") {
		if name != "host" && name != "content-length" {
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: scope[0], SecretAccessKey: secret}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, again, hex.EncodeToString(sum[:]), service, scope[2], at); err != nil {
		return service, err
	}
	if again.Header.Get("Authorization") != r.Header.Get("Authorization") {
		return service, refuse(mismatch, "The request signature we calculated does not match the signature you provided.")
	}
	return service, nil
}

// secretOf returns the secret of an access key that is switched on.
func (f *Fake) secretOf(id string, c *caller) (string, bool) {
	c.keyID = id
	if a, ok := f.admins[id]; ok {
		c.allows = a.allows
		return a.secret, true
	}
	for _, u := range f.view().users {
		for _, k := range u.keys {
			if k.id == id && k.active {
				c.user, c.allows = u, func(action string) bool { return action == "sts:GetCallerIdentity" }
				if live := f.live.users[u.name]; live != nil {
					live.use(id)
				}
				return k.secret, true
			}
		}
	}
	return "", false
}

// decode reads the operation and its input, and holds it against the model.
func (f *Fake) decode(r *http.Request, body []byte, service string, m *model) (string, record, error) {
	name, in := "", record{}
	invalid := "ValidationError"
	if service == "secretsmanager" {
		name = strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
		var raw map[string]any
		if err := json.Unmarshal(body, &raw); err != nil {
			return name, nil, err
		}
		in, _ = m.fromJSON(m.Operations[name].Input, raw).(record)
		invalid = "ValidationException"
	} else {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return name, nil, err
		}
		name = form.Get("Action")
		if form.Get("Version") != m.Version {
			f.violation("%s has the version %q, want %q", name, form.Get("Version"), m.Version)
		}
		form.Del("Action")
		form.Del("Version")
		if decoded, ok := m.fromForm(form, m.Operations[name].Input, "").(record); ok {
			in = decoded
		}
		for parameter := range form {
			f.violation("%s has the unknown parameter %s", name, parameter)
		}
	}
	op, ok := m.Operations[name]
	if !ok {
		f.violation("there is no operation %q in %s", name, service)
		return name, nil, refuse("InvalidAction", "Could not find operation %s", name)
	}
	if op.Input != "" {
		if problem := m.check(op.Input, in); problem != "" {
			f.violation("the input of %s %s", name, problem)
			return name, nil, refuse(invalid, "%s", problem)
		}
	}
	return name, in, nil
}

func (f *Fake) run(service, name string, c caller, in record) (record, error) {
	if f.throttle > 0 {
		f.throttle--
		return nil, refuse("Throttling", "Rate exceeded")
	}
	if !c.allows(service+":"+name) || (name == "GetAccountAuthorizationDetails" && f.NoBulk) {
		return nil, refuse("AccessDenied", "User is not authorized to perform: %s:%s", service, name)
	}
	switch service {
	case "sts":
		arn := "arn:aws:iam::" + Account + ":user/administrator"
		id := "AIDAADMINISTRATOR1234"
		if c.user != nil {
			arn, id = c.user.arn(), c.user.id
		}
		return record{"Account": Account, "Arn": arn, "UserId": id}, nil
	case "secretsmanager":
		return f.secretOperation(name, in)
	default:
		return f.userOperation(name, in)
	}
}

func (f *Fake) writeAnswer(w http.ResponseWriter, service string, m *model, name string, out record) {
	op := m.Operations[name]
	if op.Output != "" {
		if out == nil {
			out = record{}
		}
		if problem := m.check(op.Output, out); problem != "" {
			f.violation("the fake's answer to %s %s", name, problem)
		}
	}
	if service == "secretsmanager" {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(toJSON(out))
		return
	}
	var text strings.Builder
	text.WriteString("<" + name + "Response>")
	if op.Wrapper != "" {
		toXML(&text, op.Wrapper, out)
	}
	text.WriteString("<ResponseMetadata><RequestId>fake</RequestId></ResponseMetadata></" + name + "Response>")
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, text.String())
}

func (f *Fake) writeError(w http.ResponseWriter, service string, m *model, name string, err error) {
	var refused *apiError
	if !errors.As(err, &refused) {
		f.violation("the request cannot be read: %v", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status, ok := m.Operations[name].Status[refused.code]
	if !ok {
		status, ok = commonErrors[refused.code]
	}
	if !ok {
		f.violation("%s never answers %s", name, refused.code)
		status = http.StatusBadRequest
	}
	if service == "secretsmanager" {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": refused.code, "Message": refused.message})
		return
	}
	var text strings.Builder
	toXML(&text, "ErrorResponse", record{
		"Error": record{"Type": "Sender", "Code": refused.code, "Message": refused.message}, "RequestId": "fake",
	})
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text.String())
}
