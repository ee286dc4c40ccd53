package aws_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/resttest"
)

// TestKilledIssueIsFound ends right after AWS has made the key: the next run finds the key by its label.
func TestKilledIssueIsFound(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	var dead atomic.Bool
	cfg := a.config()
	cfg.Endpoint = before(t, a.URL, func(form url.Values, _ string) bool {
		return dead.Load() || form.Get("Action") == "CreateAccessKey" && dead.Swap(true)
	})
	d := full(t, open(t, cfg))
	ref := create(t, d)
	byHand := a.AddKey(ref.Name, true)
	if _, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "nhi-7-abc"}); err == nil {
		t.Fatal("the killed run says that it issued a key")
	}
	labels := map[string]bool{}
	for _, c := range read(t, a.Open(t), ref).Credentials {
		labels[c.Label] = true
		if c.ID == byHand && c.Label != "" {
			t.Errorf("the key that was there before has the label %q", c.Label)
		}
	}
	if !labels["nhi-7-abc"] || len(labels) != 2 {
		t.Errorf("labels are %v", labels)
	}
}

// TestKeyWithoutLabelIsTakenBack cannot write the label of a key.
func TestKeyWithoutLabelIsTakenBack(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	cfg := a.config()
	cfg.Endpoint = before(t, a.URL, func(form url.Values, _ string) bool {
		return form.Get("Action") == "TagUser" && strings.HasPrefix(form.Get("Tags.member.1.Key"), "nhi:key:")
	})
	d := full(t, open(t, cfg))
	ref := create(t, d)
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	wantCode(t, d, err, driver.Unavailable)
	if got := read(t, d, ref).Credentials; len(got) != 0 {
		t.Errorf("credentials %v are left", got)
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	resttest.RateLimits(t, a, func(change func(http.Handler) http.Handler) driver.Driver {
		cfg := a.config()
		cfg.Endpoint = proxy(t, a.URL, change)
		return open(t, cfg)
	})
}

// TestThrottledIssue can neither label a key nor take it back. The next rotation of the account takes nothing from it.
func TestThrottledIssue(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	var made atomic.Bool
	cfg := a.config()
	cfg.Endpoint = before(t, a.URL, func(form url.Values, _ string) bool {
		if made.Load() {
			a.Throttle(1)
		}
		made.CompareAndSwap(false, form.Get("Action") == "CreateAccessKey")
		return false
	})
	d := full(t, open(t, cfg))
	ref := create(t, d)
	_, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "nhi-1"})
	wantCode(t, d, err, driver.Unavailable) // Of code "rate limited" it would be repeated.
	d = full(t, a.Open(t))
	left := read(t, d, ref).Credentials
	if len(left) != 1 || left[0].Label != "nhi-1" {
		t.Fatalf("the account has the keys %+v", left)
	}
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "nhi-2"})
	must(t, err)
	labels := map[string]string{}
	for _, c := range read(t, d, ref).Credentials {
		labels[c.ID] = c.Label
	}
	if diff := cmp.Diff(map[string]string{left[0].ID: "nhi-1", issued.Credential.ID: "nhi-2"}, labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
}
