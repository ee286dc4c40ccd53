package driver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func TestCodes(t *testing.T) {
	seen := map[string]bool{}
	for code := driver.Unknown; code <= driver.Unavailable; code++ {
		name := code.String()
		if seen[name] || strings.HasPrefix(name, "code ") {
			t.Errorf("code %d is named %q", int(code), name)
		}
		seen[name] = true
	}
	if got := driver.Code(99).String(); got != "code 99" {
		t.Errorf("a code to come is named %q", got)
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("cause")
	err := driver.Errorf(driver.Conflict, "stale: %w", cause)
	if err.Error() != "stale: cause" || !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	limited := &driver.Error{Verdict: driver.Verdict{Code: driver.RateLimited, RetryAfter: time.Second}, Err: cause}
	for _, test := range []struct {
		err   error
		code  driver.Code
		known bool
		after time.Duration
	}{
		{nil, driver.Unknown, false, 0},
		{cause, driver.Unknown, false, 0},
		{err, driver.Conflict, true, 0},
		{fmt.Errorf("outer: %w", err), driver.Conflict, true, 0},
		{errors.Join(cause, err), driver.Conflict, true, 0},
		{fmt.Errorf("outer: %w", limited), driver.RateLimited, true, time.Second},
		{driver.Errorf(driver.Unknown, "x"), driver.Unknown, true, 0},
	} {
		verdict, known := driver.Known(test.err)
		if driver.CodeOf(test.err) != test.code || known != test.known || verdict != (driver.Verdict{Code: test.code, RetryAfter: test.after}) {
			t.Errorf("%v: code %v, verdict %v, %v", test.err, driver.CodeOf(test.err), verdict, known)
		}
	}
	for _, ended := range []error{context.Canceled, fmt.Errorf("get: %w", context.DeadlineExceeded)} {
		if verdict, known := driver.Known(ended); !known || verdict.Code != driver.Unavailable {
			t.Errorf("%v: %v, %v", ended, verdict, known)
		}
	}
}

func TestAfterChange(t *testing.T) {
	limited, other := errors.New("slow down"), errors.New("other")
	classify := func(err error) driver.Verdict {
		if errors.Is(err, limited) {
			return driver.Verdict{Code: driver.RateLimited, RetryAfter: time.Second}
		}
		return driver.Verdict{Code: driver.NotFound}
	}
	for _, err := range []error{nil, other} {
		if got := driver.AfterChange(classify, err); got != err { //nolint:errorlint // the very same
			t.Errorf("%v becomes %v", err, got)
		}
	}
	got := driver.AfterChange(classify, fmt.Errorf("label the key: %w", limited))
	want := driver.Verdict{Code: driver.Unavailable, RetryAfter: time.Second}
	if verdict, known := driver.Known(got); !known || verdict != want || !errors.Is(got, limited) {
		t.Errorf("%v has the verdict %+v", got, verdict)
	}
}

func TestSpecCheckName(t *testing.T) {
	strict := driver.Spec{Title: "Strict", CheckAccountName: func(name string) error {
		if name == "root" {
			return errors.New("it is reserved")
		}
		return nil
	}}
	for _, test := range []struct {
		spec       driver.Spec
		name, want string
	}{
		{strict, "billing", ""},
		{strict, "root", `"root" cannot be an account name on Strict: it is reserved`},
		{strict, " root", "white space"},
		{driver.Spec{Title: "Any"}, "root", ""},
		{driver.Spec{Title: "Any"}, "", "empty"},
	} {
		err := test.spec.CheckName(test.name)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %q: error %v, want %q", test.spec.Title, test.name, err, test.want)
		}
	}
}

func TestSpecParseAll(t *testing.T) {
	spec := driver.Spec{Grammar: nhi.Grammar{Types: []nhi.EntitlementType{{Name: "role"}}}}
	got, problems := spec.ParseAll([]string{"role:b", "x", "role:a", "role:b", "y:z"})
	if diff := cmp.Diff([]string{"role:a", "role:b"}, nhi.Texts(got)); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	if len(problems) != 2 || !strings.Contains(problems[0].Error(), `"x"`) || !strings.Contains(problems[1].Error(), `"y:z"`) {
		t.Errorf("problems %v", problems)
	}
	if _, problems := spec.ParseAll([]string{"role:a"}); problems != nil {
		t.Errorf("problems %v", problems)
	}
}

func TestAccountChangeIsZero(t *testing.T) {
	for _, change := range []driver.AccountChange{
		{Mark: &nhi.Mark{}}, {Settings: map[string]string{"a": ""}}, {ExpiresAt: &time.Time{}},
	} {
		if change.IsZero() {
			t.Errorf("%+v changes nothing", change)
		}
	}
	if !(driver.AccountChange{Settings: map[string]string{}}).IsZero() {
		t.Error("the empty change changes something")
	}
}

// The types bare and able implement nothing but Driver, and every capability.
type bare struct{ driver.Driver }

type able struct {
	driver.Driver
	driver.Suspender
	driver.Sweeper
	driver.Lister
	driver.Issuer
	driver.Verifier
	driver.SessionEnder
	driver.SecretStore
	driver.TokenMinter
	driver.Explainer
}

func TestCapabilities(t *testing.T) {
	all := driver.AllCapabilities()
	if diff := cmp.Diff(all, driver.Capabilities(able{})); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if got := driver.Capabilities(bare{}); len(got) > 0 {
		t.Errorf("none: %v", got)
	}
	spec := driver.Spec{Capabilities: all[:2]}
	if !spec.Can(driver.CanSweep) || spec.Can(driver.CanIssue) || spec.CapabilityList() != "suspend, sweep" {
		t.Errorf("spec: %s", spec.CapabilityList())
	}
}
