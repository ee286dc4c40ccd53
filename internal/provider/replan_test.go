package provider

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
)

// scene plans and applies over the sandboxes "p" and "q", each time in a process of its own, as Terraform does.
type scene struct {
	t        *testing.T
	core     *core.Core
	dir      string
	provider core.Body
	clock    time.Time
	state    core.State
	order    core.Order
	hooks    Hooks
}

func newScene(t *testing.T) *scene {
	t.Helper()
	c, err := core.New(t.Context(), providerserver.NewProtocol6(New("test", time.Now)())())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var platforms []core.Body
	for _, name := range []string{"p", "q"} {
		platforms = append(platforms, core.Body{"name": name, "path": filepath.Join(dir, name)})
	}
	return &scene{
		t: t, core: c, dir: dir, provider: core.Body{"stack": "s", "sandbox": platforms}, state: core.State{},
		clock: time.Date(2101, time.January, 1, 0, 0, 0, 0, time.UTC), // no sandbox ends anything by itself
	}
}

// hand is what somebody does by hand on a platform.
func (s *scene) hand(platform string) driver.Driver {
	s.t.Helper()
	d, err := sandbox.Open(sandbox.Config{Path: filepath.Join(s.dir, platform)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = d.Close() })
	return d
}

func (s *scene) process() *core.Process {
	s.t.Helper()
	server := NewServer("test", func() time.Time { return s.clock }, s.hooks)
	s.t.Cleanup(func() { _ = server.Close() })
	p, report := s.core.Start(s.t.Context(), server.ProtocolServer(), s.provider)
	if report.Failed() {
		s.t.Fatalf("%+v", report)
	}
	return p
}

func (s *scene) plan(resources map[string]core.Resource) *core.Plan {
	s.t.Helper()
	config := core.Config{Provider: s.provider, Resources: resources}
	return s.process().Plan(s.t.Context(), config, s.state, core.PlanOptions{Order: s.order})
}

// apply plans and applies, and fails the test unless both succeed.
func (s *scene) apply(resources map[string]core.Resource) *core.Plan {
	s.t.Helper()
	plan := s.plan(resources)
	s.carryOut(plan)
	return plan
}

func (s *scene) carryOut(plan *core.Plan) {
	s.t.Helper()
	if plan.Failed() {
		s.t.Fatalf("plan: %q, %q", plan.Errors, plan.Violations)
	}
	state, report := s.process().Apply(s.t.Context(), plan, s.order)
	if s.state = state; report.Failed() {
		s.t.Fatalf("apply: %q, %q", report.Errors, report.Violations)
	}
}

// refuses fails the test unless the plan is refused with all these words.
func (s *scene) refuses(resources map[string]core.Resource, words ...string) {
	s.t.Helper()
	plan := s.plan(resources)
	if len(plan.Errors) == 0 || len(plan.Violations) > 0 {
		s.t.Errorf("planned: %+v, %q", plan.Changes, plan.Violations)
		return
	}
	for _, word := range words {
		if !strings.Contains(strings.Join(plan.Errors, "\n"), word) {
			s.t.Errorf("%q does not say %q", plan.Errors, word)
		}
	}
}

// inBothOrders runs a test with what may happen in any order happening forwards, and backwards.
func inBothOrders(t *testing.T, test func(t *testing.T, s *scene)) {
	t.Parallel()
	backwards := func(keys []string) []string {
		slices.Reverse(keys)
		return keys
	}
	for name, order := range map[string]core.Order{"forwards": nil, "backwards": backwards} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.order = order
			test(t, s)
		})
	}
}

func identityResourceOf(name string, more core.Body, accounts ...core.Body) core.Resource {
	body := core.Body{"name": name, "kind": "ai_agent", "owner": "team", "account": accounts}
	for key, value := range more {
		body[key] = value
	}
	return core.Resource{Type: "nhi_identity", Body: body}
}

func on(platform string) core.Body { return core.Body{"platform": platform} }

func rotationResourceOf(identity, platform, secret string) core.Resource {
	return core.Resource{Type: "nhi_rotation", Body: core.Body{
		"identity": core.Ref(identity), "platform": platform, "deliver": []core.Body{{"platform": "p", "path": secret}},
	}}
}

func grantResourceOf(identity string, more core.Body, entitlements map[string][]string) core.Resource {
	body := core.Body{"identity": core.Ref(identity), "entitlements": entitlements}
	for key, value := range more {
		body[key] = value
	}
	return core.Resource{Type: "nhi_grant", Body: body}
}

// TestAnotherTakesTheName: an identity gets another name and another address declares the one it had, as with count over a
// list to which something was added in front. The deletion of the old and the creation of the new come in any order.
func TestAnotherTakesTheName(t *testing.T) {
	inBothOrders(t, func(t *testing.T, s *scene) {
		declare := func(names ...string) map[string]core.Resource {
			out := map[string]core.Resource{}
			for i, name := range names {
				out["nhi_identity.x"+string(rune('0'+i))] = identityResourceOf(name, nil, on("p"))
			}
			return out
		}
		s.apply(declare("a", "b"))
		s.refuses(declare("z", "a", "b"), "Two objects of one identity", "do that in two applies", `nhi_identity.<x>["<key>"]`)
		s.refuses(declare("b", "a"), "Two objects of one identity")

		// Such an apply may have left one identity at two addresses.
		s.state["nhi_identity.x2"] = s.state["nhi_identity.x0"]
		s.refuses(declare("z", "b", "a"), "Two objects of one identity", "terraform state rm")
		delete(s.state, "nhi_identity.x0")
		s.apply(declare("z", "b", "a"))

		s.apply(declare("y", "b", "a"))
		s.apply(declare("y", "b", "a", "z"))
	})
}

// TestAnotherTakesTheRotation: the same of rotations, which go by identity and platform.
func TestAnotherTakesTheRotation(t *testing.T) {
	inBothOrders(t, func(t *testing.T, s *scene) {
		declare := func(platforms ...string) map[string]core.Resource {
			out := map[string]core.Resource{"nhi_identity.x": identityResourceOf("a", nil, on("p"), on("q"))}
			for i, platform := range platforms {
				at := "x" + string(rune('0'+i))
				out["nhi_rotation."+at] = rotationResourceOf("nhi_identity.x", platform, at)
			}
			return out
		}
		s.apply(declare("p"))
		s.refuses(declare("q", "p"), "Two objects of one rotation", "do that in two applies")
		s.apply(declare("q"))
		s.apply(declare("q", "p"))
	})
}

// TestGrantOfAnotherIdentity: a grant that becomes one of another identity gives up what it gave the first, also what another
// grant holds that the plan leaves as it is.
func TestGrantOfAnotherIdentity(t *testing.T) {
	inBothOrders(t, func(t *testing.T, s *scene) {
		shared := map[string][]string{"p": {"role:reporting"}}
		resources := map[string]core.Resource{
			"nhi_identity.a": identityResourceOf("a", nil, on("p")), "nhi_identity.b": identityResourceOf("b", nil, on("p")),
			"nhi_grant.stays": grantResourceOf("nhi_identity.a", core.Body{"exclusive": false, "tolerate": shared}, shared),
			"nhi_grant.moves": grantResourceOf("nhi_identity.a", core.Body{"exclusive": false}, shared),
		}
		s.apply(resources)
		resources["nhi_grant.moves"] = grantResourceOf("nhi_identity.b", core.Body{"exclusive": false}, shared)
		plan := s.plan(resources)
		if text := strings.Join(plan.Warnings, "\n"); plan.Failed() || !strings.Contains(text, "One grant gives up what another one holds") {
			t.Errorf("errors %q, warnings %q", plan.Errors, plan.Warnings)
		}
	})
}

// unmark takes the mark from an account.
func (s *scene) unmark(platform, account string) {
	s.t.Helper()
	d := s.hand(platform)
	a, err := d.ReadAccount(s.t.Context(), nhi.Ref{Name: account})
	if err == nil {
		err = d.UpdateAccount(s.t.Context(), a.Ref, driver.AccountChange{Mark: &nhi.Mark{}})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestImportedWithoutAChange: an identity that was imported with all that state needs carries no mark until something of it
// changes. What cannot be applied without is refused in the plan, with the way out.
func TestImportedWithoutAChange(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	const at = "nhi_identity.x"
	access := map[string][]string{"p": {"role:reporting"}}
	resources := map[string]core.Resource{at: identityResourceOf("agent", nil, on("p"), on("q")), "nhi_grant.p": grantResourceOf(at, nil, access)}
	s.apply(resources)
	s.unmark("p", "agent")
	s.unmark("q", "agent")
	imported, report := s.process().Import(t.Context(), at, "nhi_identity", "agent:p,q")
	if report.Failed() {
		t.Fatalf("%+v", report)
	}
	imported.JSON = s.state[at].JSON // as by resource identity, with kind and owner
	s.state[at] = imported
	if plan := s.plan(resources); !plan.Empty() {
		t.Fatalf("errors %q, violations %q, changes %+v", plan.Errors, plan.Violations, plan.Changes)
	}

	with := func(at string, r core.Resource) map[string]core.Resource {
		out := maps.Clone(resources)
		out[at] = r
		return out
	}
	more := map[string][]string{"p": {"role:reporting"}, "q": {"role:reporting"}}
	for name, refused := range map[string]map[string]core.Resource{
		"a rotation":                      with("nhi_rotation.q", rotationResourceOf(at, "q", "path")),
		"a grant":                         with("nhi_grant.q", grantResourceOf(at, nil, map[string][]string{"q": {"role:reporting"}})),
		"a grant of nothing":              with("nhi_grant.q", grantResourceOf(at, nil, map[string][]string{"q": {}})),
		"another platform of a grant":     with("nhi_grant.p", grantResourceOf(at, nil, more)),
		"another platform without access": with("nhi_grant.p", grantResourceOf(at, nil, map[string][]string{"p": {"role:reporting"}, "q": {}})),
	} {
		s.t.Log(name)
		s.refuses(refused, `account "agent" on platform "q" is managed by nobody`, "adopt = true")
	}
	// What is recorded goes on: more of the same account needs no mark.
	if plan := s.plan(with("nhi_grant.p", grantResourceOf(at, nil, map[string][]string{"p": {"role:reporting", "role:more"}}))); plan.Failed() {
		t.Errorf("errors %q, violations %q", plan.Errors, plan.Violations)
	}

	adopted := with(at, identityResourceOf("agent", nil, core.Body{"platform": "p", "adopt": true}, core.Body{"platform": "q", "adopt": true}))
	adopted["nhi_rotation.q"], adopted["nhi_grant.p"] = rotationResourceOf(at, "q", "path"), grantResourceOf(at, nil, more)
	s.apply(adopted)
	if plan := s.plan(adopted); !plan.Empty() {
		t.Errorf("errors %q, violations %q, changes %+v", plan.Errors, plan.Violations, plan.Changes)
	}
}

// TestGrantOfAnIdentityElsewhere: the identity is declared in another configuration, which may not be applied yet.
func TestGrantOfAnIdentityElsewhere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	grant := map[string]core.Resource{"nhi_grant.x": {Type: "nhi_grant", Body: core.Body{
		"identity": core.Body{"name": "agent"}, "entitlements": map[string][]string{"p": {"role:reporting"}},
	}}}
	if plan := s.plan(grant); plan.Failed() {
		t.Errorf("errors %q, violations %q", plan.Errors, plan.Violations)
	}
	if _, err := s.hand("p").CreateAccount(t.Context(), driver.AccountSpec{Name: "agent"}); err != nil {
		t.Fatal(err)
	}
	s.refuses(grant, `account "agent" on platform "p" is managed by nobody`)
}

// TestReplacedWithALateName: an identity is replaced, and what its account is called is known only when that is applied. The
// grant and the rotation are then the same updates as in the plan.
func TestReplacedWithALateName(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]core.Body{
		"another name": {"platform": "p", "name": core.Later("svc2")}, "the same name": {"platform": "p", "name": core.Later("svc")},
		"the platform": {"platform": core.Later("p"), "name": "svc"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			const at = "nhi_identity.x"
			resources := map[string]core.Resource{
				at:               identityResourceOf("agent", nil, core.Body{"platform": "p", "name": "svc"}),
				"nhi_grant.x":    grantResourceOf(at, nil, map[string][]string{"p": {"role:reporting"}}),
				"nhi_rotation.x": rotationResourceOf(at, "p", "path"),
			}
			s.apply(resources)
			tainted := *s.state[at]
			tainted.Tainted = true
			s.state[at] = &tainted
			resources[at] = identityResourceOf("agent", nil, late)
			s.apply(resources)
			account := "svc"
			if later, ok := late["name"].(core.Later); ok {
				account = string(later)
			}
			resources[at] = identityResourceOf("agent", nil, core.Body{"platform": "p", "name": account})
			if plan := s.plan(resources); !plan.Empty() {
				t.Errorf("errors %q, violations %q, changes %+v", plan.Errors, plan.Violations, plan.Changes)
			}
			a, err := s.hand("p").ReadAccount(t.Context(), nhi.Ref{Name: account})
			if err != nil || len(a.Entitlements) != 1 || len(a.Credentials) != 1 {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
}

// TestRemovalsThatAreNotKnown: the plan warns of every account that the apply may delete.
func TestRemovalsThatAreNotKnown(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.apply(map[string]core.Resource{"nhi_identity.x": identityResourceOf("agent", nil, on("p"), on("q"))})
	const here, may, will = "", "may", "will"
	for name, test := range map[string]struct {
		accounts []core.Body
		p, q     string
	}{
		"a late name, a block less":   {[]core.Body{{"platform": "p", "name": core.Later("svc")}}, may, will},
		"a late name, another name":   {[]core.Body{{"platform": "p", "name": core.Later("svc")}, {"platform": "q", "name": "svc"}}, may, will},
		"a late name, a block as is":  {[]core.Body{{"platform": "p", "name": core.Later("svc")}, on("q")}, may, here},
		"a late platform":             {[]core.Body{{"platform": core.Later("p")}, on("q")}, may, here},
		"a late platform, a new name": {[]core.Body{{"platform": core.Later("p")}, {"platform": "q", "name": "svc"}}, may, will},
		"all is known":                {[]core.Body{on("p")}, here, will},
	} {
		plan := s.plan(map[string]core.Resource{"nhi_identity.x": identityResourceOf("agent", nil, test.accounts...)})
		if plan.Failed() {
			t.Errorf("%s: %q, %q", name, plan.Errors, plan.Violations)
		}
		for platform, verb := range map[string]string{"p": test.p, "q": test.q} {
			var got string
			for _, warning := range plan.Warnings {
				if about, rest, ok := strings.Cut(warning, fmt.Sprintf(`on platform %q `, platform)); ok && strings.HasSuffix(about, `Account "agent" `) {
					got, _, _ = strings.Cut(rest, " be deleted")
				}
			}
			if got != verb {
				t.Errorf("%s: account on %s: %q, want %q; %q", name, platform, got, verb, plan.Warnings)
			}
		}
	}
}
