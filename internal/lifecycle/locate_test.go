package lifecycle_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func TestLocate(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(w *world)
		names   map[string]string
		want    map[string]string // account names
		problem string
	}{
		{"nothing", func(*world) {}, nil, map[string]string{}, ""},
		{"by mark, under any name", func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "T_1"}, Mark: ours})
			w.b.put(nhi.Account{Ref: nhi.Ref{Name: "T_2"}, Mark: ours})
			w.b.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}}) // the mark counts more than the name
		}, nil, map[string]string{"a": "T_1", "b": "T_2"}, ""},
		{"by its own name", func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}})
			w.c.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours})
		}, nil, map[string]string{"a": "billing", "c": "billing"}, ""},
		{"not what belongs to others", func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: theirs})
			w.b.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: nhi.Mark{Stack: "payments", Identity: "sibling"}})
		}, nil, map[string]string{}, ""},
		{"two with the mark", func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "T_1"}, Mark: ours})
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "T_2"}, Mark: ours})
		}, nil, map[string]string{}, "2 accounts on platform"},
		{"by given names only", func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "svc"}})
			w.b.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}})
		}, map[string]string{"a": "svc"}, map[string]string{"a": "svc"}, ""},
		{"a given name that is not there", func(*world) {}, map[string]string{"a": "svc"}, map[string]string{}, "no account"},
		{"a given name of another stack", func(*world) {}, map[string]string{"a": "foreign"}, map[string]string{}, `belongs to the stack "other"`},
		{"a platform that is not there", func(*world) {}, map[string]string{"x": "svc"}, map[string]string{}, `no platform is named "x"`},
		{"a platform that does not answer", func(w *world) {
			w.b.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}})
			w.a.refuse = func(op string) error {
				if op == "sweep" {
					return errRefused
				}
				return nil
			}
		}, nil, map[string]string{"b": "billing"}, "scripted refusal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			test.prepare(w)
			before := w.snapshot()
			records, _, problems := lifecycle.Locate(t.Context(), w.fleet(), "billing", test.names)
			got := map[string]string{}
			for platform, r := range records {
				got[platform] = r.Name
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
			if (len(problems) > 0) != (test.problem != "") || !strings.Contains(problems.Error(), test.problem) {
				t.Errorf("problems %v, want %q", problems, test.problem)
			}
			if diff := cmp.Diff(before, w.snapshot()); diff != "" {
				t.Errorf("locating changed something (-before +after):\n%s", diff)
			}
		})
	}
}

// lists is plain with a list of names: it has no bulk read.
type lists struct{ plain }

func (l lists) ListAccounts(ctx context.Context, page func([]nhi.Ref) error) error {
	var refs []nhi.Ref
	err := l.m.do(ctx, "list", func() error {
		for _, a := range l.m.accounts {
			refs = append(refs, a.Ref)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return page(refs)
}

// Where there is no bulk read, an account is found by its mark all the same, by an import and by a review.
func TestFoundByMarkInAList(t *testing.T) {
	m := newMemory("l")
	m.put(nhi.Account{Ref: nhi.Ref{Name: "T_1"}, Mark: ours, Entitlements: roles("x")})
	m.put(nhi.Account{Ref: nhi.Ref{Name: "T_2"}, Mark: theirs, Entitlements: roles("y")})
	spec := driver.Spec{Kind: "lists", Capabilities: []driver.Capability{driver.CanList}}
	f := fleet.New("payments", nil, []fleet.Config{{Name: "l", Spec: spec, Open: func() (driver.Driver, error) { return lists{plain{m}}, nil }}})
	records, _, problems := lifecycle.Locate(t.Context(), f, "billing", nil)
	must(t, problems)
	if records["l"].Name != "T_1" || len(records) != 1 {
		t.Errorf("import: %+v", records)
	}
	r, problems := lifecycle.ExplainIdentity(t.Context(), f, "billing", nil, nil, undeclared)
	must(t, problems)
	if diff := cmp.Diff([]string{"l/T_1 role:x"}, heldTexts(r)); diff != "" {
		t.Errorf("review (-want +got):\n%s", diff)
	}

	// The identity's own name is read first, and a marked account of that name is enough.
	m.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Entitlements: roles("z")})
	m.arm(0, "", nil)
	f = fleet.New("payments", nil, []fleet.Config{{Name: "l", Spec: spec, Open: func() (driver.Driver, error) { return lists{plain{m}}, nil }}})
	records, _, problems = lifecycle.Locate(t.Context(), f, "billing", nil)
	must(t, problems)
	r, problems = lifecycle.ExplainIdentity(t.Context(), f, "billing", nil, nil, undeclared)
	must(t, problems)
	if diff := cmp.Diff([]string{"l/billing role:z"}, heldTexts(r)); diff != "" || records["l"].Name != "billing" || slices.Contains(m.ops, "list") {
		t.Errorf("import %+v, operations %v, review (-want +got):\n%s", records, m.ops, diff)
	}
}

func TestLocateReadsWhole(t *testing.T) {
	w := newWorld()
	w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Entitlements: roles("x", "y")})
	w.c.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}})
	records, accounts, problems := lifecycle.Locate(t.Context(), w.fleet(), "billing", nil)
	must(t, problems)
	if diff := cmp.Diff([]string{"a", "c"}, names(records)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(roles("x", "y"), accounts["a"].Entitlements); diff != "" || len(accounts) != 2 || len(accounts["c"].Entitlements) > 0 {
		t.Errorf("accounts %+v (-want +got):\n%s", accounts, diff)
	}
}

func TestTarget(t *testing.T) {
	w := newWorld()
	id, lacking, err := lifecycle.Target(t.Context(), w.fleet(), "a")
	if id != "target-a" || len(lacking) > 0 || err != nil {
		t.Errorf("%q, %q, %v", id, lacking, err)
	}
	if _, _, err := lifecycle.Target(t.Context(), w.fleet(), "x"); err == nil {
		t.Error("no error")
	}
}
