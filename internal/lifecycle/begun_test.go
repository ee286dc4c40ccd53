package lifecycle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/audittest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// failsLast makes c refuse an operation once a shows that it is done there, and the sink die with that.
func (w *world) failsLast(sink *audittest.Sink, op string, done func(a nhi.Account) bool) {
	w.c.refuse = func(now string) error {
		if now != op {
			return nil
		}
		for !slices.ContainsFunc(w.a.all(), func(a nhi.Account) bool { return a.Mark == ours && done(a) }) {
			time.Sleep(time.Millisecond)
		}
		sink.Down(true)
		return errRefused
	}
}

// TestSinkDiesBeforeTakingBack: a sink that is down leaves no access of a creation that has failed, and gets its evidence later.
func TestSinkDiesBeforeTakingBack(t *testing.T) {
	t.Parallel()
	t.Run("identity", func(t *testing.T) {
		t.Parallel()
		w, sink := newWorld(), &audittest.Sink{}
		journal := sink.Required().Open(audit.Operation{}, nil)
		w.failsLast(sink, "create", func(nhi.Account) bool { return true })
		id := identity(map[string]lifecycle.Account{"a": {Name: "billing"}, "c": {Name: "T_BILLING"}})
		records, problems := lifecycle.CreateIdentity(t.Context(), w.fleet().Under(journal), id)
		if own := w.own(); len(records) > 0 || len(own) > 0 || !slices.Equal(problems.Platforms(), []string{"c"}) {
			t.Errorf("records %v of %v, problems %v", records, own, problems)
		}
		wantWaiting(t, journal.Close(t.Context()), audit.DeleteAccount)
	})
	t.Run("grant", func(t *testing.T) {
		t.Parallel()
		w, sink := newWorld(), &audittest.Sink{}
		journal := sink.Required().Open(audit.Operation{}, nil)
		holders(t, w)
		w.failsLast(sink, "grant", func(a nhi.Account) bool { return slices.Contains(a.Entitlements, roles("new")[0]) })
		declared := lifecycle.Entitlements{"a": roles("new"), "c": roles("new")}
		held, _, problems := lifecycle.CreateGrant(t.Context(), w.fleet().Under(journal), grant(declared))
		if len(held) > 0 || !slices.Equal(problems.Platforms(), []string{"c"}) {
			t.Errorf("held %v, problems %v", held, problems)
		}
		wantHeld(t, w, "before", "kept")
		wantWaiting(t, journal.Close(t.Context()), audit.Revoke, audit.Revoke)
	})
	t.Run("grant that was not begun", func(t *testing.T) {
		t.Parallel()
		w, sink := newWorld(), &audittest.Sink{}
		journal := sink.Required().Open(audit.Operation{}, nil)
		holders(t, w)
		sink.Down(true)
		held, _, problems := lifecycle.CreateGrant(t.Context(), w.fleet().Under(journal), grant(onAll("new")))
		if len(held) > 0 || len(problems) != 3 {
			t.Errorf("held %v, problems %v", held, problems)
		}
		wantHeld(t, w, "before", "kept")
		wantWaiting(t, journal.Close(t.Context()))
	})
}

// TestSinkRefusesWhatAnotherRunMakes: a creation is refused, and meanwhile another run of the stack makes the account. That one is not
// what a lost answer has left, and not this run's to take back.
func TestSinkRefusesWhatAnotherRunMakes(t *testing.T) {
	t.Parallel()
	w := newWorld()
	sink := &audittest.Sink{Dies: func(audit.Event) bool {
		if !slices.ContainsFunc(w.a.all(), func(a nhi.Account) bool { return a.Mark == ours }) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "billing"}, Mark: ours, Status: nhi.Suspended})
		}
		return true
	}}
	id := identity(map[string]lifecycle.Account{"a": {Name: "billing"}})
	_, problems := lifecycle.CreateIdentity(t.Context(), w.fleet().Under(sink.Required().Open(audit.Operation{}, nil)), id)
	if !strings.Contains(problems.Error(), "nothing was changed") || len(w.own()["a"]) != 1 {
		t.Errorf("on the platform %v, problems %v", w.own(), problems)
	}
}

// wantWaiting checks which activities wait as succeeded ones, once each.
func wantWaiting(t *testing.T, left audit.Left, want ...audit.Activity) {
	t.Helper()
	waiting, err := audit.ParseWaiting(left.Waiting)
	if err != nil {
		t.Fatal(err)
	}
	var got []audit.Activity
	for _, w := range waiting {
		if w.Event.Outcome == audit.Succeeded && slices.Contains([]audit.Activity{audit.DeleteAccount, audit.Revoke}, w.Event.Activity) {
			got = append(got, w.Event.Activity)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("waiting %v, want %v", got, want)
	}
}
