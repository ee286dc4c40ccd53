package aws_test

import (
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
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
