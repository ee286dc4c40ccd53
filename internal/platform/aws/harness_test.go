package aws_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws/awsfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// TestConformanceFake runs the suite against the fake, which behaves as AWS documents.
func TestConformanceFake(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newAccount(t))
}

// account is an AWS account of the fake with an administrator.
type account struct {
	*awsfake.Fake
	keyID, secretKey string
}

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{Fake: awsfake.New(t)}
	a.keyID, a.secretKey = a.AddAdmin(func(string) bool { return true })
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func random(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:10]) }

func (a *account) config() aws.Config {
	return aws.Config{
		Endpoint: a.URL, AccessKeyID: a.keyID, SecretAccessKey: secret.New(a.secretKey), PageSize: 7, Settle: 5 * time.Second,
	}
}

func open(t *testing.T, cfg aws.Config) driver.Driver {
	t.Helper()
	d, err := aws.Open(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

func (a *account) Spec() driver.Spec { return aws.Spec() }

func (a *account) Open(t *testing.T) driver.Driver { return open(t, a.config()) }

func (a *account) Entitlements(t *testing.T, n int) []nhi.Entitlement {
	t.Helper()
	var out []nhi.Entitlement
	for i := range n {
		if i%2 == 0 {
			out = append(out, a.policy())
		} else {
			out = append(out, a.group())
		}
	}
	return out
}

func (a *account) policy() nhi.Entitlement {
	return nhi.Entitlement{Type: "policy", Target: a.AddPolicy("team/" + random("read"))}
}

func (a *account) group() nhi.Entitlement {
	name := random("Readers+=,.@-_")
	a.AddGroup(name, nil, nil)
	return nhi.Entitlement{Type: "group", Target: name}
}

func (a *account) SharedEntitlement(*testing.T) nhi.Entitlement { return a.group() }

func (a *account) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	a.AddUser(name)
	for _, e := range holds {
		a.GrantByHand(t, name, e)
	}
}

func (a *account) GrantByHand(_ *testing.T, name string, e nhi.Entitlement) {
	if e.Type == "group" {
		a.Attach(name, "", e.Target)
	} else {
		a.Attach(name, e.Target, "")
	}
}

func (a *account) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "policy", Target: "arn:aws:iam::123456789012:policy/" + random("missing")}, true
}

func (a *account) HostileNames() []string { return hostileNames() }

func hostileNames() []string {
	return []string{random("a") + "=1", random("a") + "@example.com", random("a") + ",b", "a/b", "a b", "_", "-x", "+1"}
}

func (a *account) Settings() map[string]string {
	return map[string]string{"permissions_boundary": a.AddPolicy("boundary")}
}

func (a *account) SecretPath(name string) string { return "nhi/billing+agent=1@x." + name }

func (a *account) Secrets() []secret.Value { return []secret.Value{secret.New(a.secretKey)} }

func (a *account) Many() int { return 20 }

func (a *account) Unsupported() map[string]string { return nil }

func (a *account) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	cfg := a.config()
	if fault == drivertest.MissingRights {
		id, text := a.AddAdmin(func(action string) bool {
			_, operation, _ := strings.Cut(action, ":")
			return strings.HasPrefix(operation, "Get") || strings.HasPrefix(operation, "List")
		})
		cfg.AccessKeyID, cfg.SecretAccessKey = id, secret.New(text)
		return open(t, cfg)
	}
	return withFault(t, cfg, fault)
}

// withFault returns a driver with a fault that does not depend on what answers.
func withFault(t *testing.T, cfg aws.Config, fault drivertest.Fault) driver.Driver {
	t.Helper()
	switch fault {
	case drivertest.Refused:
		cfg.Endpoint = "http://" + netfault.ClosedPort(t)
	case drivertest.Silent:
		cfg.Endpoint = "http://" + silentPort(t)
	case drivertest.WrongCredentials:
		cfg.SecretAccessKey = secret.New("wrong-" + rand.Text())
	case drivertest.Cut:
		cfg.Endpoint = proxy(t, cfg.Endpoint, cut)
	case drivertest.Malformed:
		cfg.Endpoint = always(t, http.StatusNotFound, "text/html", "<html><body>404 Not Found</body></html>")
	case drivertest.EmptyAnswers:
		cfg.Endpoint = empty(t)
	case drivertest.Overloaded:
		cfg.Endpoint = always(t, http.StatusBadRequest, "text/xml",
			"<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>")
	default:
		return nil
	}
	return open(t, cfg)
}

// silentPort accepts connections, in the kernel's queue, and never answers.
func silentPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// always answers every request alike, those of the JSON protocol in JSON.
func always(t *testing.T, status int, contentType, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		if r.Header.Get("X-Amz-Target") != "" && strings.Contains(body, "Throttling") {
			_, _ = io.WriteString(w, `{"__type":"ThrottlingException","message":"Rate exceeded"}`)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// empty answers every request in the right form with nothing in it.
func empty(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "" {
			_, _ = io.WriteString(w, "{}")
			return
		}
		_ = r.ParseForm()
		name := r.PostForm.Get("Action")
		_, _ = io.WriteString(w, "<"+name+"Response><"+name+"Result></"+name+"Result></"+name+"Response>")
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// proxy passes requests on through a middleware, with the host that they were signed for.
func proxy(t *testing.T, to string, change func(http.Handler) http.Handler) string {
	t.Helper()
	target, err := url.Parse(to)
	must(t, err)
	p := httptest.NewServer(change(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}))
	t.Cleanup(p.Close)
	return p.URL
}

// instead passes requests on, but for those that answer gives a status and a body for, by the operation that they ask for.
func instead(t *testing.T, to string, answer func(action string) (status int, body string)) string {
	t.Helper()
	return proxy(t, to, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			sent, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			form, _ := url.ParseQuery(string(sent))
			if status, body := answer(form.Get("Action")); status != 0 {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(sent))
			next.ServeHTTP(w, r)
		})
	})
}

// cut announces the whole answer and breaks off in its middle.
func cut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, r)
		body := whole.Body.Bytes()
		w.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
		w.Header().Set("Content-Length", strconv.Itoa(max(len(body), 2)))
		w.WriteHeader(whole.Code)
		_, _ = io.Copy(w, bytes.NewReader(body[:len(body)/2]))
		panic(http.ErrAbortHandler)
	})
}
