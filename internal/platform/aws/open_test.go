package aws_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/smithy-go"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func TestThrottling(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	d := a.Open(t)
	a.Throttle(1)
	_, err := d.Probe(t.Context())
	wantCode(t, d, err, driver.RateLimited)
	_, err = d.Probe(t.Context())
	must(t, err)
	cfg := a.config()
	cfg.Endpoint = always(t, http.StatusTooManyRequests, "text/html", "slow down")
	d = open(t, cfg)
	_, err = d.Probe(t.Context())
	if verdict := d.Classify(err); verdict.Code != driver.RateLimited || verdict.RetryAfter != 7*time.Second {
		t.Errorf("verdict %+v", verdict)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	target, err := a.Open(t).Probe(t.Context())
	must(t, err)
	if want := "aws:aws:123456789012@" + strings.TrimPrefix(a.URL, "http://"); target.ID != want {
		t.Errorf("id %q, want %q", target.ID, want)
	}
	cfg := a.config()
	cfg.Region = "eu-central-1"
	other, err := open(t, cfg).Probe(t.Context())
	must(t, err)
	if other.ID != target.ID || target.StoreID() != target.ID+"/us-east-1" || other.StoreID() != target.ID+"/eu-central-1" {
		t.Errorf("targets of two regions: %+v, %+v", target, other)
	}
	id, text := a.AddAdmin(func(action string) bool { return action == "sts:GetCallerIdentity" })
	cfg.AccessKeyID, cfg.SecretAccessKey = id, secret.New(text)
	target, err = open(t, cfg).Probe(t.Context())
	must(t, err)
	if len(target.Lacking) != 1 || !strings.Contains(target.Lacking[0], "iam:ListUsers") || len(target.Blind) != 1 {
		t.Errorf("target %+v", target)
	}
}

func TestOpen(t *testing.T) {
	a := newAccount(t)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "other")
	_, err := a.Open(t).Probe(t.Context())
	must(t, err)

	t.Setenv("AWS_ACCESS_KEY_ID", a.keyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", a.secretKey)
	_, err = open(t, aws.Config{Endpoint: a.URL}).Probe(t.Context())
	must(t, err)
	for what, bad := range map[string]aws.Config{
		"an id without a secret":     {AccessKeyID: "AKIA1"},
		"a secret without an id":     {SecretAccessKey: secret.New("x")},
		"a token without a key":      {SessionToken: secret.New("x")},
		"a key and a profile":        {AccessKeyID: "AKIA1", SecretAccessKey: secret.New("x"), Profile: "p"},
		"a path without slashes":     {Path: "nhi"},
		"an endpoint that is no URL": {Endpoint: "nowhere"},
		"a profile that is not":      {Profile: "nobody"},
	} {
		if _, err := aws.Open(bad); err == nil {
			t.Errorf("Open accepts %s", what)
		}
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	resttest.RefusesRedirects(t, func(address string) driver.Driver {
		cfg := a.config()
		cfg.Endpoint = address
		return open(t, cfg)
	})
}

// TestNotAWS answers every request with something that is not AWS: nothing may be read as absent.
func TestNotAWS(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	ref := create(t, a.Open(t))
	for _, status := range []int{200, 204, 302, 400, 403, 404, 500} {
		for _, body := range []string{"", "{}", "<html></html>", "<a/>", "<GetUserResponse><GetUserResult/></GetUserResponse>", "NoSuchEntity"} {
			cfg := a.config()
			cfg.Endpoint = always(t, status, "text/xml", body)
			d := full(t, open(t, cfg))
			for _, r := range []nhi.Ref{ref, {Name: ref.Name}} {
				_, err := d.ReadAccount(t.Context(), r)
				if err == nil || d.Classify(err).Code == driver.NotFound {
					t.Errorf("status %d, body %q: read gives %v", status, body, err)
				}
				if d.DeleteAccount(t.Context(), r) == nil {
					t.Errorf("status %d, body %q: delete succeeds", status, body)
				}
			}
			if _, err := d.GetSecret(t.Context(), "x"); err == nil || d.Classify(err).Code == driver.NotFound {
				t.Errorf("status %d, body %q: get gives %v", status, body, err)
			}
		}
	}
}

// TestSuccessWithoutAnAnswer answers single requests with a success that does not hold what was asked for: nothing is read
// as "there is none", and no credential counts as revoked.
func TestSuccessWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	type answer struct{ action, text string }
	var next atomic.Value
	next.Store(answer{})
	cfg := a.config()
	cfg.Endpoint = instead(t, a.URL, func(action string) (int, string) {
		if now, ok := next.Load().(answer); ok && now.action == action {
			return http.StatusOK, now.text
		}
		return 0, ""
	})
	d := full(t, open(t, cfg))
	ref := create(t, d)
	must(t, d.Grant(t.Context(), ref, []nhi.Entitlement{a.policy(), a.group()}))
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	for _, name := range []string{"ListAccessKeys", "ListAttachedUserPolicies", "ListGroupsForUser", "ListUserPolicies"} {
		for what, text := range map[string]string{
			"nothing": "", "a page of HTML": "<html></html>", "the answer to another request": "<GetUserResponse/>",
			"half an answer":     "<" + name + "Response><" + name + "Result>",
			"a page without end": "<" + name + "Response><" + name + "Result><IsTruncated>true</IsTruncated></" + name + "Result></" + name + "Response>",
		} {
			next.Store(answer{name, text})
			_, err := d.ReadAccount(t.Context(), ref)
			if err == nil || d.Classify(err).Code != driver.Unknown {
				t.Errorf("%s answers %s: read gives %v", name, what, err)
			}
			if name == "ListAccessKeys" {
				wantCode(t, d, d.RevokeCredential(t.Context(), ref, issued.Credential.ID), driver.Unknown)
			}
			next.Store(answer{})
		}
	}
	if got := read(t, d, ref); len(got.Credentials) != 1 || len(got.Entitlements) != 2 || len(a.ActiveKeys(ref.Name)) != 1 {
		t.Errorf("the account reads as %+v", got)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	d := newAccount(t).Open(t)
	for code, want := range map[string]driver.Code{
		"NoSuchEntity": driver.NotFound, "NoSuchEntityException": driver.NotFound, "EntityAlreadyExists": driver.AlreadyExists,
		"com.amazonaws.secretsmanager#ResourceNotFoundException": driver.NotFound, "DeleteConflict": driver.Conflict,
		"LimitExceeded": driver.Invalid, "Throttling": driver.RateLimited, "AccessDenied": driver.PermissionDenied,
		"SignatureDoesNotMatch": driver.Unauthenticated, "ServiceFailure": driver.Unavailable, "NotImplemented": driver.Unsupported,
		"SomethingNew": driver.Unknown,
	} {
		err := fmt.Errorf("read: %w", &smithy.GenericAPIError{Code: code, Message: "x"})
		if got := d.Classify(err).Code; got != want {
			t.Errorf("%s is %q, want %q", code, got, want)
		}
	}
	stale := &smithy.GenericAPIError{Code: "InvalidInput", Message: "marker read-x not found"}
	if got := d.Classify(stale).Code; got != driver.Conflict {
		t.Errorf("a list that changed between two pages is %q, want %q", got, driver.Conflict)
	}
	if got := d.Classify(errors.New("NoSuchEntity")).Code; got != driver.Unknown {
		t.Errorf("a text is %q", got)
	}
}

func TestGrammar(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"policy:arn:aws:iam::aws:policy/ReadOnlyAccess": "", "policy:arn:aws-cn:iam::123456789012:policy/a/b/C": "", "group:analysts": "",
		"policy:ReadOnlyAccess": "ARN", "policy:arn:aws:s3:::bucket": "ARN", "group:arn:aws:iam::123456789012:group/x": "without",
		"group:a/b": "letters", "inline:x": "cannot be granted",
	} {
		_, err := aws.Spec().Grammar.Parse(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}
