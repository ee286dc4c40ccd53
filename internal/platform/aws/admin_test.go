package aws_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// actions is one action or several, as a policy may write it.
type actions []string

func (a *actions) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = actions{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// TestLeastPrivileges does everything with the actions of the documented policy and no others. Resources and conditions the
// fake does not judge.
func TestLeastPrivileges(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	text, err := os.ReadFile("testdata/admin.json")
	must(t, err)
	var policy struct {
		Statement []struct{ Action actions }
	}
	must(t, json.Unmarshal(text, &policy))
	allowed := []string{"sts:GetCallerIdentity"} // Nobody needs a right for it.
	for _, s := range policy.Statement {
		allowed = append(allowed, s.Action...)
	}
	used := map[string]bool{}
	id, key := a.AddAdmin(func(action string) bool {
		used[action] = true
		return slices.Contains(allowed, action)
	})
	cfg := a.config()
	cfg.AccessKeyID, cfg.SecretAccessKey, cfg.Path = id, secret.New(key), "/nhi/"
	d := full(t, open(t, cfg))
	target, err := d.Probe(t.Context())
	must(t, err)
	if complaints := slices.Concat(target.Blind, target.Lacking); len(complaints) > 0 {
		t.Errorf("the documented policy does not suffice: %q", complaints)
	}
	ref, es := create(t, d), []nhi.Entitlement{a.policy(), a.group()}
	must(t, d.Grant(t.Context(), ref, es))
	for _, boundary := range []string{a.AddPolicy("boundary"), ""} {
		settings := map[string]string{"permissions_boundary": boundary}
		must(t, d.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &nhi.Mark{}, Settings: settings}))
	}
	issued, err := d.Issue(t.Context(), ref, driver.IssueRequest{Label: "a"})
	must(t, err)
	must(t, d.Suspend(t.Context(), ref))
	must(t, d.Resume(t.Context(), ref))
	must(t, d.Sweep(t.Context(), driver.SweepFilter{}, func([]nhi.Account) error { return nil }))
	_, err = d.Explain(t.Context(), ref)
	must(t, err)
	must(t, d.RevokeCredential(t.Context(), ref, issued.Credential.ID))
	must(t, d.Revoke(t.Context(), ref, es[:1]))
	a.Burden(ref.Name)
	must(t, d.DeleteAccount(t.Context(), ref))
	path := "nhi/" + random("stored")
	s := driver.StoredSecret{Fields: map[string]secret.Value{"a": secret.New("first")}}
	s.Version, err = d.PutSecret(t.Context(), path, s)
	must(t, err)
	_, err = d.PutSecret(t.Context(), path, s)
	must(t, err)
	_, err = d.GetSecret(t.Context(), path)
	must(t, err)
	must(t, d.RemoveSecret(t.Context(), path))

	for _, action := range allowed {
		if !used[action] {
			t.Errorf("the documented policy allows %s, which nothing here uses", action)
		}
	}
}
