package vault_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// explained spells holdings as "entitlement < last step < ... < first step".
func explained(t *testing.T, d driver.Driver, ref nhi.Ref) []string {
	t.Helper()
	explainer, ok := d.(driver.Explainer)
	if !ok {
		t.Fatalf("%T explains nothing", d)
	}
	holdings, err := explainer.Explain(t.Context(), ref)
	must(t, err)
	out := make([]string, len(holdings))
	for i, h := range holdings {
		steps := slices.Clone(h.Via)
		slices.Reverse(steps)
		out[i] = strings.Join(append([]string{h.Entitlement.String()}, steps...), " < ")
	}
	return out
}

// crowd is what the tests put into Vault by hand.
type crowd struct {
	*server
	t *testing.T
}

func (c crowd) policy(rules string) string {
	name := random("pol")
	c.call(c.t, http.MethodPut, "sys/policies/acl/"+name, encode(c.t, map[string]string{"policy": rules}))
	return name
}

// group makes a group with policies, whose members are entities and groups, and returns its id.
func (c crowd) group(name string, policies, entities, groups []string) string {
	return c.call(c.t, http.MethodPost, "identity/group", encode(c.t, map[string]any{
		"name": name, "policies": policies, "member_entity_ids": entities, "member_group_ids": groups,
	})).Data.ID
}

func TestExplainTellsTheWay(t *testing.T) {
	s := newServer(t)
	c, d := crowd{s, t}, full(t, s.Open(t))
	ref := create(t, d)
	rules := `path "secret/x" { capabilities = ["read"] }`
	onEntity, onRole, inNear, inFar := c.policy(rules), c.policy(rules), c.policy(rules), c.policy(rules)
	near, far := random("near"), random("far")
	nearID := c.group(near, []string{inNear, "default"}, []string{ref.ID}, nil)
	farID := c.group(far, []string{inFar, inNear}, nil, []string{nearID})
	c.group(random("stranger"), []string{inFar}, nil, nil)
	s.call(t, http.MethodPost, "identity/entity/id/"+ref.ID, encode(t, map[string]any{"policies": []string{onEntity}}))
	s.call(t, http.MethodPost, s.role(ref.Name), encode(t, map[string]any{"token_policies": []string{onRole}}))
	want := []string{
		"group:" + near, "policy:" + onEntity, "policy:" + onRole,
		"group:" + far + " < group:" + near,
		"policy:" + inFar + " < group:" + far + " < group:" + near,
		"policy:" + inNear + " < group:" + far + " < group:" + near, "policy:" + inNear + " < group:" + near,
		"policy:default < every token", "policy:default < group:" + near,
	}
	check := func() {
		t.Helper()
		got := explained(t, d, ref)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("explained (-want +got):\n%s", diff)
		}
	}
	check()
	s.call(t, http.MethodPost, s.role(ref.Name), `{"token_no_default_policy":true}`)
	want = slices.DeleteFunc(want, func(text string) bool { return text == "policy:default < every token" })
	check()
	s.call(t, http.MethodDelete, "identity/group/id/"+farID, "")
	want = slices.DeleteFunc(want, func(text string) bool { return strings.Contains(text, far) })
	check()
}

// TestExplainOfARoleWithoutAnEntity is an AppRole that somebody made and nobody logged in with.
func TestExplainOfARoleWithoutAnEntity(t *testing.T) {
	s := newServer(t)
	name, p := random("bare"), crowd{s, t}.policy(`path "secret/x" { capabilities = ["read"] }`)
	s.call(t, http.MethodPost, s.role(name), encode(t, map[string]any{"token_policies": []string{p, "default"}, "token_no_default_policy": true}))
	want := []string{"policy:" + p, "policy:default < AppRole"}
	if diff := cmp.Diff(want, explained(t, s.Open(t), nhi.Ref{Name: name})); diff != "" {
		t.Errorf("explained (-want +got):\n%s", diff)
	}
}

// capabilities asks Vault what a token may do on paths.
func (c crowd) capabilities(token string, paths []string) map[string][]string {
	c.t.Helper()
	status, body := c.try(c.t, c.token, http.MethodPost, "sys/capabilities", encode(c.t, map[string]any{"token": token, "paths": paths}))
	var out struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	if status != http.StatusOK {
		c.t.Fatalf("capabilities: status %d: %s", status, body)
	}
	must(c.t, json.Unmarshal(body, &out))
	found := map[string][]string{}
	for _, path := range paths {
		var list []string
		must(c.t, json.Unmarshal(out.Data[path], &list))
		slices.Sort(list)
		found[path] = list
	}
	return found
}

// TestExplainAgreesWithVault makes random policies, groups of groups and accounts. A real token of each account must be
// able to do what a token can that has exactly the policies that are explained, on random paths.
func TestExplainAgreesWithVault(t *testing.T) {
	s := newServer(t)
	c, d := crowd{s, t}, full(t, s.Open(t))
	seed := rand.Uint64() //nolint:gosec // Not a secret.
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // Not a secret.
	some := func(of []string, percent int) (out []string) {
		for _, x := range of {
			if r.IntN(100) < percent {
				out = append(out, x)
			}
		}
		return out
	}
	var paths, policies, entities []string
	for i := range 20 {
		paths = append(paths, fmt.Sprintf("secret/data/p%d/x", i))
	}
	for range 16 {
		var rules []string
		for i := range 20 {
			if r.IntN(100) < 20 {
				capabilities := append(some([]string{"create", "read", "update", "delete", "list"}, 50), "read")
				if r.IntN(8) == 0 {
					capabilities = []string{"deny"}
				}
				path := fmt.Sprintf("secret/data/p%d/", i) + []string{"x", "*", "+"}[r.IntN(3)]
				rules = append(rules, fmt.Sprintf("path %q { capabilities = %s }", path, encode(t, capabilities)))
			}
		}
		policies = append(policies, c.policy(strings.Join(append(rules, `path "secret/none" { capabilities = ["read"] }`), "\n")))
	}
	nothing := c.policy(`path "secret/none" { capabilities = ["read"] }`)
	refs := make([]nhi.Ref, 6)
	for i := range refs {
		refs[i] = create(t, d)
		entities = append(entities, refs[i].ID)
		s.call(t, http.MethodPost, "identity/entity/id/"+refs[i].ID, encode(t, map[string]any{"policies": some(policies, 7)}))
		s.call(t, http.MethodPost, s.role(refs[i].Name), encode(t, map[string]any{
			"token_policies": some(policies, 7), "token_no_default_policy": r.IntN(2) == 0,
		}))
	}
	var groups []string
	for i := range 8 {
		members := some(entities, 25)
		if i == 0 {
			members = entities // At least one policy is inherited.
		}
		groups = append(groups, c.group(random("g"), append(some(policies, 15), policies[0]), members, some(groups, 35)))
	}
	compared := 0
	for _, ref := range refs {
		holdings, err := d.Explain(t.Context(), ref)
		must(t, err)
		named := []string{nothing} // Without any policy Vault would give the token those of the admin.
		inherited := 0
		for _, h := range holdings {
			if h.Entitlement.Type == "policy" {
				named = append(named, h.Entitlement.Target)
				inherited += min(len(h.Via), 1)
			}
		}
		token, err := d.MintToken(t.Context(), ref)
		must(t, err)
		same := s.call(t, http.MethodPost, "auth/token/create",
			encode(t, map[string]any{"policies": named, "no_default_policy": true})).Auth.ClientToken
		if diff := cmp.Diff(c.capabilities(token.Secret.Reveal(), paths), c.capabilities(same, paths)); diff != "" {
			t.Errorf("%s with %q (-Vault says of the account +explained):\n%s", ref.Name, named, diff)
		}
		compared += inherited
	}
	if compared < len(refs) {
		t.Errorf("only %d inherited policies were compared", compared)
	}
}
