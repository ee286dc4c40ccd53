package lifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// suspend suspends the bench's account by hand, or resumes it.
func (b *bench) suspend(suspend bool) {
	b.t.Helper()
	suspender, ok := b.driver.credentialDriver.(driver.Suspender)
	if !ok {
		b.t.Fatal("a sandbox can suspend")
	}
	do := suspender.Resume
	if suspend {
		do = suspender.Suspend
	}
	if err := do(b.t.Context(), nhi.Ref{Name: "agent"}); err != nil {
		b.t.Fatal(err)
	}
}

// While the account is suspended the only copies of its secret stay where they are, also if they are to go elsewhere, and
// the record says so. Resumed, all is done that was declared and asked for meanwhile.
func TestSuspendedAccountKeepsItsSecret(t *testing.T) {
	b := newBench(t).create()
	before := slices.Clone(b.record.Delivered)
	b.suspend(true)
	b.rotation.Deliveries = []Delivery{{Place{"box", "kv/c"}, DefaultFields()}}
	b.rotation.Forced = true
	for range 2 {
		if problems := b.again(); len(problems) > 0 {
			t.Fatal(problems)
		}
		if !slices.Equal(b.record.Delivered, before) || b.labels() != "nhi-1" || b.stored("kv/a").Version != 1 || b.stored("kv/b").Version != 1 {
			t.Errorf("delivered %v, credentials %s", b.record.Delivered, b.labels())
		}
	}
	view, problems := PlanRotation(t.Context(), b.fleet, b.rotation, b.record, nil, b.now)
	if len(problems) > 0 || !view.Suspended || len(view.Notes) != 2 || len(view.Words) > 0 {
		t.Errorf("the plan says %q and %q, %v", view.Words, view.Notes, problems)
	}

	// What was not delivered gives no right to overwrite what a stranger puts there.
	_, err := b.driver.PutSecret(t.Context(), "kv/c", driver.StoredSecret{Fields: map[string]secret.Value{"a": secret.New("theirs")}})
	if err != nil {
		t.Fatal(err)
	}
	b.suspend(false)
	b.wantProblem(b.again(), "holds a secret that this rotation did not deliver")
	if err := b.driver.RemoveSecret(t.Context(), "kv/c"); err != nil {
		t.Fatal(err)
	}

	b.rotation.Forced, b.rotation.Owed = false, true
	if problems := b.again(); len(problems) > 0 {
		t.Fatal(problems)
	}
	b.wantWorking()
	if b.labels() != "nhi-1 nhi-2" || !slices.Equal(b.record.Delivered, []Place{{"box", "kv/c"}}) {
		t.Errorf("credentials %s, delivered %v", b.labels(), b.record.Delivered)
	}
	for _, path := range []string{"kv/a", "kv/b"} {
		if _, err := b.driver.GetSecret(t.Context(), path); driver.CodeOf(err) != driver.NotFound {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A rotation that is made for a suspended account has delivered nothing, and says so.
func TestRotationOfASuspendedAccountIsMade(t *testing.T) {
	b := newBench(t)
	b.suspend(true)
	b.create()
	if len(b.record.Delivered) > 0 || len(b.record.Credentials) > 0 || b.record.Targets["box"] == "" || b.labels() != "" {
		t.Errorf("record %+v, credentials %s", b.record, b.labels())
	}
	b.suspend(false)
	if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-1" || len(b.record.Delivered) != 2 {
		t.Errorf("record %+v, credentials %s, %v", b.record, b.labels(), problems)
	}
	b.wantWorking()
}

// A creation revokes nothing, whatever has come up since it was planned: what its plan said cannot reach it. Where the account has
// no room, it waits for a plan that names what has to go.
func TestCreationRevokesNothing(t *testing.T) {
	nothing := func(string) bool { return false }
	elsewhere := []Delivery{{Place{"box", "kv/c"}, DefaultFields()}}
	for name, prepare := range map[string]func(b *bench) RotationView{
		"planned while suspended": func(b *bench) RotationView {
			if problems := b.create().due(); len(problems) > 0 {
				t.Fatal(problems)
			}
			b.rotation.Deliveries = elsewhere
			b.suspend(true)
			view, _ := PlanRotation(t.Context(), b.fleet, b.rotation, RotationRecord{}, nothing, b.now)
			b.suspend(false)
			return view
		},
		"another one since the plan": func(b *bench) RotationView {
			b.create().rotation.Deliveries = elsewhere
			view, _ := PlanRotation(t.Context(), b.fleet, b.rotation, RotationRecord{}, nothing, b.now)
			label := rotation.NewLabels("payments", "agent").Label(2)
			if _, err := b.driver.credentialDriver.Issue(t.Context(), nhi.Ref{Name: "agent"}, driver.IssueRequest{Label: label}); err != nil {
				t.Fatal(err)
			}
			return view
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if said := strings.Join(prepare(b).Words, "\n"); strings.Contains(said, "revoke") {
				t.Fatalf("the plan names one: %s", said)
			}
			b.create()
			if b.labels() != "nhi-1 nhi-2" || len(b.record.Credentials) != 2 || len(b.record.Delivered) > 0 || !strings.Contains(b.record.Waits, "Plan again") {
				t.Fatalf("credentials %s, record %+v", b.labels(), b.record)
			}
			if _, ok := b.record.Credentials.Current(); ok {
				t.Errorf("record %+v: nothing was issued", b.record)
			}

			b.restart()
			view, problems := PlanRotation(t.Context(), b.fleet, b.rotation, b.record, nil, b.now)
			var named []string
			for _, c := range view.Record {
				if rotation.Named(c, view.Words) {
					named = append(named, c.ID)
				}
			}
			if len(problems) > 0 || len(named) != 1 {
				t.Fatalf("the next plan names %v: %q, %v", named, view.Words, problems)
			}
			record, problems := ApplyRotation(t.Context(), b.fleet, b.rotation, b.record, func(id string) bool { return id == named[0] }, b.clock)
			if len(problems) > 0 || record.Waits != "" || !strings.HasSuffix(b.labels(), " nhi-3") || record.Credentials.Has(named[0]) {
				t.Errorf("credentials %s, record %+v, %v", b.labels(), record, problems)
			}
			b.wantWorking()
		})
	}
}

// While a rotation waits for the end of an overlap, the only copy of the secret stays where it is, also if it is to go elsewhere. A
// copy of what a declared place holds goes, and what was not delivered is not said to be.
func TestWaitingRotationKeepsItsSecret(t *testing.T) {
	b := newBench(t).create()
	if problems := b.due(); len(problems) > 0 {
		t.Fatal(problems)
	}
	before := slices.Clone(b.record.Delivered)
	b.rotation.Deliveries = []Delivery{{Place{"box", "kv/c"}, DefaultFields()}}
	if problems := b.again(); len(problems) > 0 || !slices.Equal(b.record.Delivered, before) || b.record.Waits == "" {
		t.Errorf("%v, record %+v", problems, b.record)
	}
	if err := b.driver.credentialDriver.Verify(t.Context(), "agent", b.stored("kv/a").Fields["secret"]); err != nil {
		t.Error(err)
	}

	b.rotation.Deliveries = append(b.rotation.Deliveries, Delivery{Place{"box", "kv/b"}, DefaultFields()})
	b.rotation.Owed = true
	if problems := b.again(); len(problems) > 0 || !slices.Equal(b.record.Delivered, []Place{{"box", "kv/b"}}) {
		t.Errorf("%v, record %+v", problems, b.record)
	}
	if _, err := b.driver.GetSecret(t.Context(), "kv/a"); driver.CodeOf(err) != driver.NotFound {
		t.Errorf("kv/a: %v", err)
	}
	b.now = b.now.Add(25 * time.Hour)
	if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-2 nhi-3" || len(b.record.Delivered) != 2 {
		t.Errorf("%v, credentials %s, record %+v", problems, b.labels(), b.record)
	}
	b.wantWorking()
}

// require_use_before_retire waits for a caller: neither the proof of the new credential nor one before a later delivery
// is a use, however late the platform tells of it and whenever the option was switched on.
func TestProofIsNoUse(t *testing.T) {
	for _, late := range []bool{false, true} {
		b := newBench(t).create()
		b.rotation.RequireUse = !late
		if problems := b.due(); len(problems) > 0 {
			t.Fatal(problems)
		}
		b.driver.used = b.now.Add(time.Minute) // the platform's clock is fast
		b.rotation.RequireUse = true

		b.now = b.now.Add(2 * time.Hour)
		if err := b.driver.RemoveSecret(t.Context(), "kv/b"); err != nil {
			t.Fatal(err)
		}
		verified := 0
		b.driver.verify = func() error {
			verified++
			b.driver.used = b.now.Add(time.Minute)
			return nil
		}
		if problems := b.again(); len(problems) > 0 || verified != 1 {
			t.Fatalf("%d proofs, %v", verified, problems)
		}
		b.now = b.now.Add(48 * time.Hour)
		if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-1 nhi-2" {
			t.Errorf("option switched on late %v: credentials %s, and nobody has used the new one; %v", late, b.labels(), problems)
		}
		b.driver.used = b.now
		if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-2" {
			t.Errorf("option switched on late %v: credentials %s, and somebody has used the new one; %v", late, b.labels(), problems)
		}
	}
}
