package aws_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestResumeRevertsTheSuspensionAlone leaves a key off that was off before.
func TestResumeRevertsTheSuspensionAlone(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	d := full(t, a.Open(t))
	ref := create(t, d)
	on := a.AddKey(ref.Name, true)
	a.AddKey(ref.Name, false)
	must(t, d.Suspend(t.Context(), ref))
	if keys := a.ActiveKeys(ref.Name); len(keys) != 0 {
		t.Errorf("keys %v are on", keys)
	}
	suspended := read(t, d, ref)
	if suspended.Status != nhi.Suspended || len(suspended.Entitlements) != 0 {
		t.Errorf("suspended: %+v", suspended)
	}
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	wantCode(t, d, err, driver.Conflict)
	must(t, d.Suspend(t.Context(), ref))
	must(t, d.Resume(t.Context(), ref))
	if diff := cmp.Diff([]string{on}, a.ActiveKeys(ref.Name)); diff != "" {
		t.Errorf("keys that are on (-want +got):\n%s", diff)
	}
}

// TestKeysOnlySuspension has a server that knows no policies which deny: a user with a key that works is not suspended.
func TestKeysOnlySuspension(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	cfg := a.config()
	cfg.Endpoint = instead(t, a.URL, func(action string) (int, string) {
		if action != "PutUserPolicy" {
			return 0, ""
		}
		return http.StatusBadRequest, "<ErrorResponse><Error><Code>MalformedPolicyDocument</Code><Message>no</Message></Error></ErrorResponse>"
	})
	d := full(t, open(t, cfg))
	ref := create(t, d)
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	for _, by := range []struct {
		what string
		hand func()
	}{
		{"a key switched on by hand", func() { a.SwitchOn(ref.Name, issued.Credential.ID) }},
		{"a key made by hand", func() { a.AddKey(ref.Name, true) }},
	} {
		must(t, d.Suspend(t.Context(), ref))
		if got := read(t, d, ref).Status; got != nhi.Suspended {
			t.Errorf("status %q after the suspension", got)
		}
		by.hand()
		if got := read(t, d, ref).Status; got != nhi.Active {
			t.Errorf("%s: status %q, and the keys %v work", by.what, got, a.ActiveKeys(ref.Name))
		}
	}
	must(t, d.Suspend(t.Context(), ref))
	if keys := a.ActiveKeys(ref.Name); len(keys) != 0 || read(t, d, ref).Status != nhi.Suspended {
		t.Errorf("suspended again, keys %v are on", keys)
	}
	must(t, d.Resume(t.Context(), ref))
	if keys := a.ActiveKeys(ref.Name); len(keys) != 2 || read(t, d, ref).Status != nhi.Active {
		t.Errorf("resumed, keys %v are on", keys)
	}
	for tag := range a.Tags(ref.Name) {
		if strings.HasPrefix(tag, "nhi:suspended") {
			t.Errorf("the tag %s is left", tag)
		}
	}
}

// TestPolicyCalledLikeASuspension has an inline policy of that name which allows everything: it is no suspension, it is
// shown, and it hinders none.
func TestPolicyCalledLikeASuspension(t *testing.T) {
	t.Parallel()
	const anything = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`
	shown := []nhi.Entitlement{{Type: "inline", Target: "nhi-suspended"}}
	for _, noBulk := range []bool{false, true} {
		a := newAccount(t)
		a.NoBulk = noBulk
		d := full(t, a.Open(t))
		ref := create(t, d)
		want := func(when string, status nhi.Status, holds []nhi.Entitlement) {
			t.Helper()
			accounts := []nhi.Account{read(t, d, ref)}
			must(t, d.Sweep(t.Context(), driver.SweepFilter{}, func(page []nhi.Account) error {
				accounts = append(accounts, page...)
				return nil
			}))
			for i, account := range accounts {
				if account.Status != status || !slices.Equal(account.Entitlements, holds) {
					t.Errorf("%s, read %d: status %q, entitlements %v", when, i, account.Status, account.Entitlements)
				}
			}
		}
		a.PutInline(ref.Name, "nhi-suspended", anything)
		want("at first", nhi.Active, shown)
		_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
		must(t, err)
		must(t, d.Resume(t.Context(), ref))
		want("resumed", nhi.Active, shown)
		must(t, d.Suspend(t.Context(), ref))
		want("suspended", nhi.Suspended, nil)
		a.PutInline(ref.Name, "nhi-suspended", anything)
		want("changed by hand", nhi.Active, shown)
		must(t, d.Resume(t.Context(), ref))
		want("resumed after that", nhi.Active, shown)
		must(t, d.Revoke(t.Context(), ref, shown))
		want("revoked", nhi.Active, nil)
		must(t, d.Suspend(t.Context(), ref))
		must(t, d.Revoke(t.Context(), ref, shown))
		want("suspended at last", nhi.Suspended, nil)
		must(t, d.DeleteAccount(t.Context(), ref))
	}
}

// TestInterruptedSuspension is killed after each request in turn; done again, it ends as if it had not been.
func TestInterruptedSuspension(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	whole := a.Open(t)
	for _, at := range []string{"TagUser", "UpdateAccessKey", "PutUserPolicy", "DeleteUserPolicy", "UntagUser"} {
		ref := create(t, whole)
		on := a.AddKey(ref.Name, true)
		var done atomic.Bool
		cfg := a.config()
		cfg.Endpoint = before(t, a.URL, func(form url.Values, _ string) bool {
			return form.Get("Action") == at && done.CompareAndSwap(false, true)
		})
		d := full(t, open(t, cfg))
		if err := d.Suspend(t.Context(), ref); err != nil {
			if read(t, d, ref).Status != nhi.Active {
				t.Errorf("%s: half a suspension is said to be one", at)
			}
			must(t, d.Suspend(t.Context(), ref))
		}
		if read(t, d, ref).Status != nhi.Suspended || len(a.ActiveKeys(ref.Name)) != 0 {
			t.Errorf("%s: not suspended", at)
		}
		if err := d.Resume(t.Context(), ref); err != nil {
			must(t, d.Resume(t.Context(), ref))
		}
		if diff := cmp.Diff([]string{on}, a.ActiveKeys(ref.Name)); diff != "" || read(t, d, ref).Status != nhi.Active {
			t.Errorf("%s: not resumed: keys that are on (-want +got):\n%s", at, diff)
		}
	}
}
