package reconcile_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

var (
	ours    = nhi.Mark{Stack: "s", Identity: "i"}
	sibling = nhi.Mark{Stack: "s", Identity: "j"}
	foreign = nhi.Mark{Stack: "t", Identity: "i"}
	someday = time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC)
)

func drawEntitlements(t *rapid.T, label string) []nhi.Entitlement {
	one := rapid.Custom(func(t *rapid.T) nhi.Entitlement {
		return nhi.Entitlement{Type: "role", Target: rapid.StringMatching(`[a-f]`).Draw(t, "target")}
	})
	return nhi.SortEntitlements(rapid.SliceOfN(one, 0, 6).Draw(t, label))
}

func drawSettings(t *rapid.T, label string) map[string]string {
	text := rapid.StringMatching(`[ab]`)
	return rapid.MapOfN(text, text, 0, 2).Draw(t, label)
}

func drawTime(t *rapid.T, label string) time.Time {
	return rapid.SampledFrom([]time.Time{{}, someday, someday.In(time.FixedZone("x", 3600)), someday.Add(time.Hour)}).Draw(t, label)
}

func drawAccount(t *rapid.T) nhi.Account {
	return nhi.Account{
		Ref: nhi.Ref{Name: "a", ID: "1"}, Mark: rapid.SampledFrom([]nhi.Mark{{}, ours, sibling}).Draw(t, "mark"),
		Status:       rapid.SampledFrom([]nhi.Status{nhi.Active, nhi.Suspended}).Draw(t, "status"),
		Entitlements: drawEntitlements(t, "held"), Settings: drawSettings(t, "settings"), ExpiresAt: drawTime(t, "expires"),
		Credentials: slices.Repeat([]nhi.Credential{{ID: "c"}}, rapid.IntRange(0, 2).Draw(t, "credentials")),
	}
}

func drawAbilities(t *rapid.T) reconcile.Abilities {
	return reconcile.Abilities{
		Suspend: rapid.Bool().Draw(t, "suspend"), EndSessions: rapid.Bool().Draw(t, "end sessions"),
		Issue: rapid.Bool().Draw(t, "issue"), NativeExpiry: rapid.Bool().Draw(t, "native expiry"),
	}
}

func kindsOf(steps []reconcile.Step) []reconcile.StepKind {
	var kinds []reconcile.StepKind
	for _, s := range steps {
		kinds = append(kinds, s.Kind)
	}
	return kinds
}

// apply does to a model account what a platform does to a real one.
func apply(account nhi.Account, steps []reconcile.Step) nhi.Account {
	account.Settings = maps.Clone(account.Settings)
	for _, s := range steps {
		switch s.Kind {
		case reconcile.StepSuspend:
			account.Status = nhi.Suspended
		case reconcile.StepResume:
			account.Status = nhi.Active
		case reconcile.StepUpdate:
			if s.Mark != nil {
				account.Mark = *s.Mark
			}
			if s.ExpiresAt != nil {
				account.ExpiresAt = *s.ExpiresAt
			}
			if account.Settings == nil {
				account.Settings = map[string]string{}
			}
			maps.Copy(account.Settings, s.Settings)
		case reconcile.StepGrant:
			account.Entitlements = nhi.Union(account.Entitlements, s.Entitlements)
		case reconcile.StepRevoke:
			account.Entitlements = nhi.Without(account.Entitlements, s.Entitlements)
		}
	}
	return account
}

func TestAccountReachesWhatIsDesired(t *testing.T) {
	order := []reconcile.StepKind{reconcile.StepSuspend, reconcile.StepEndSessions, reconcile.StepUpdate, reconcile.StepResume}
	rapid.Check(t, func(t *rapid.T) {
		observed, can := drawAccount(t), drawAbilities(t)
		desired := reconcile.Desired{
			Mark: ours, Suspended: rapid.Bool().Draw(t, "suspended"),
			Settings: drawSettings(t, "wanted settings"), ExpiresAt: drawTime(t, "wanted expiry"),
		}
		steps := reconcile.Account(desired, observed, can)
		after := apply(observed, steps)
		if rest := reconcile.Unfinished(desired, after, can); len(rest) > 0 {
			t.Fatalf("after %v there is still to do: %v", steps, rest)
		}
		if after.Mark != ours || !slices.Equal(after.Entitlements, observed.Entitlements) {
			t.Fatalf("mark %v, entitlements %v", after.Mark, after.Entitlements)
		}
		for name, value := range observed.Settings {
			if want, declared := desired.Settings[name]; !declared && after.Settings[name] != value || declared && after.Settings[name] != want {
				t.Fatalf("setting %q is %q", name, after.Settings[name])
			}
		}
		if can.Suspend && (after.Status == nhi.Suspended) != desired.Suspended || !can.Suspend && after.Status != observed.Status {
			t.Fatalf("status %s", after.Status)
		}
		if can.NativeExpiry && !after.ExpiresAt.Equal(desired.ExpiresAt) || !can.NativeExpiry && !after.ExpiresAt.Equal(observed.ExpiresAt) {
			t.Fatalf("expires %s", after.ExpiresAt)
		}
		last := -1
		for _, kind := range kindsOf(steps) {
			if i := slices.Index(order, kind); i <= last {
				t.Fatalf("order of the steps: %v", kindsOf(steps))
			} else {
				last = i
			}
		}
		if !can.EndSessions && slices.Contains(kindsOf(steps), reconcile.StepEndSessions) {
			t.Fatal("ends sessions of a platform that cannot")
		}
	})
}

func TestAccountEndsSessionsWhenItSuspends(t *testing.T) {
	can := reconcile.Abilities{Suspend: true, EndSessions: true}
	active := nhi.Account{Status: nhi.Active, Mark: ours}
	got := kindsOf(reconcile.Account(reconcile.Desired{Mark: ours, Suspended: true}, active, can))
	if want := []reconcile.StepKind{reconcile.StepSuspend, reconcile.StepEndSessions}; !slices.Equal(got, want) {
		t.Errorf("steps %v, want %v", got, want)
	}
}

func TestDeprovision(t *testing.T) {
	account := nhi.Account{
		Status: nhi.Active, Credentials: []nhi.Credential{{ID: "1"}, {ID: "2"}}, Entitlements: []nhi.Entitlement{{Type: "role", Target: "a"}},
	}
	suspended := account
	suspended.Status = nhi.Suspended
	all := reconcile.Abilities{Suspend: true, EndSessions: true, Issue: true}
	for _, test := range []struct {
		name        string
		account     nhi.Account
		can         reconcile.Abilities
		suspendOnly bool
		want        string
	}{
		{"all", account, all, false, "suspend, end sessions, revoke credential 1, revoke credential 2, revoke role:a, delete"},
		{"suspended already", suspended, all, false, "end sessions, revoke credential 1, revoke credential 2, revoke role:a, delete"},
		{"suspend only", account, all, true, "suspend, end sessions, revoke credential 1, revoke credential 2"},
		{"suspended already, suspend only", suspended, all, true, "end sessions, revoke credential 1, revoke credential 2"},
		{"no abilities", account, reconcile.Abilities{}, false, "revoke role:a, delete"},
		{"holds nothing", nhi.Account{Status: nhi.Active}, reconcile.Abilities{}, false, "delete"},
	} {
		var got []string
		for _, s := range reconcile.Deprovision(test.account, test.can, test.suspendOnly) {
			got = append(got, strings.TrimSpace(string(s.Kind)+" "+s.Credential+nhi.JoinTexts(s.Entitlements)))
		}
		if diff := cmp.Diff(test.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestPending(t *testing.T) {
	desired := reconcile.Desired{Mark: ours, ExpiresAt: someday}
	can := reconcile.Abilities{NativeExpiry: true}
	bare := nhi.Account{Ref: nhi.Ref{Name: "a"}}
	marked := nhi.Account{Ref: nhi.Ref{Name: "a"}, Mark: ours, ExpiresAt: someday.In(time.FixedZone("x", 3600))}
	for _, test := range []struct {
		name    string
		account nhi.Account
		can     reconcile.Abilities
		marked  bool
		want    []string
	}{
		{"all is well", marked, can, true, nil},
		{"bare", bare, can, true, []string{
			`p: account "a" expires on the platform never, not 2027-06-30T00:00:00Z`, `p: the ownership mark of account "a" is missing`,
		}},
		{"no native expiry", bare, reconcile.Abilities{}, true, []string{`p: the ownership mark of account "a" is missing`}},
		{"imported", nhi.Account{Ref: nhi.Ref{Name: "a"}, ExpiresAt: someday}, can, false, nil},
		{"imported, ends at another time", bare, can, false, []string{`p: account "a" expires on the platform never, not 2027-06-30T00:00:00Z`}},
	} {
		if diff := cmp.Diff(test.want, reconcile.Pending("p", desired, test.account, test.can, reconcile.Known{Marked: test.marked})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// What nobody can see of a suspended account is whether its sessions have ended. It is pending until a run has ended them,
// and only if none may have.
func TestSessionsArePending(t *testing.T) {
	can := reconcile.Abilities{Suspend: true, EndSessions: true}
	suspended := nhi.Account{Ref: nhi.Ref{Name: "a"}, Mark: ours, Status: nhi.Suspended}
	active := suspended
	active.Status = nhi.Active
	words := []string{`p: account "a" is suspended, but its sessions may not have ended`}
	for name, test := range map[string]struct {
		desired bool
		account nhi.Account
		can     reconcile.Abilities
		known   reconcile.Known
		want    []string
	}{
		"quiet":                 {true, suspended, can, reconcile.Known{Status: nhi.Suspended}, nil},
		"suspended by others":   {true, suspended, can, reconcile.Known{Status: nhi.Active}, words},
		"the last run failed":   {true, suspended, can, reconcile.Known{Status: nhi.Suspended, Pending: []string{reconcile.Failed("p")}}, words},
		"failed elsewhere":      {true, suspended, can, reconcile.Known{Status: nhi.Suspended, Pending: []string{reconcile.Failed("q")}}, nil},
		"still":                 {true, suspended, can, reconcile.Known{Status: nhi.Suspended, Pending: words}, words},
		"to be resumed":         {false, suspended, can, reconcile.Known{Status: nhi.Active, Pending: words}, nil},
		"to be suspended":       {true, active, can, reconcile.Known{Status: nhi.Active, Pending: words}, nil},
		"no sessions to be had": {true, suspended, reconcile.Abilities{Suspend: true}, reconcile.Known{Status: nhi.Active}, nil},
	} {
		got := reconcile.Pending("p", reconcile.Desired{Mark: ours, Suspended: test.desired}, test.account, test.can, test.known)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOwner(t *testing.T) {
	for _, test := range []struct {
		name    string
		mark    nhi.Mark
		knownID string
		adopt   bool
		want    reconcile.Ownership
		refused string
	}{
		{"our mark", ours, "", false, reconcile.Ours, ""},
		{"our mark on another account than state knows", ours, "2", false, reconcile.Ours, ""},
		{"recorded and unmarked", nhi.Mark{}, "1", false, reconcile.Ours, ""},
		{"recreated", nhi.Mark{}, "2", false, reconcile.Unmarked, "set adopt = true"},
		{"unmarked", nhi.Mark{}, "", false, reconcile.Unmarked, "was not made by this provider"},
		{"unmarked, adopted", nhi.Mark{}, "", true, reconcile.Unmarked, ""},
		{"other identity", sibling, "1", true, reconcile.OtherIdentity, `belongs to the identity "j" of this stack`},
		{"other stack", foreign, "1", true, reconcile.OtherStack, `belongs to the stack "t" (identity "i")`},
	} {
		account := nhi.Account{Ref: nhi.Ref{Name: "a", ID: "1"}, Mark: test.mark}
		if got := reconcile.Owner(account, ours, test.knownID); got != test.want {
			t.Errorf("%s: owner %v, want %v", test.name, got, test.want)
		}
		err := reconcile.CheckOwner("p", account, ours, test.knownID, test.adopt)
		if (err == nil) != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.refused)
		}
	}
}
