package lifecycle

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
)

// moveTo is another process, whose configuration reaches another store of the same system, and "elsewhere".
func (b *bench) moveTo(store string, elsewhere driver.Driver) {
	b.driver.store = store
	b.fleet = fleet.New("payments", nil, []fleet.Config{
		{Name: "box", Spec: sandbox.Spec(), Open: func() (driver.Driver, error) { return b.driver, nil }},
		{Name: "elsewhere", Spec: sandbox.Spec(), Open: func() (driver.Driver, error) { return elsewhere, nil }},
	})
}

// wantKept checks that the problems are a wrong target and that the secret is still there.
func (b *bench) wantKept(problems Problems) {
	b.t.Helper()
	var wrong *fleet.WrongTargetError
	if len(problems) == 0 || !errors.As(problems[0].Err, &wrong) || wrong.Answering == wrong.Recorded {
		b.t.Errorf("problems %v", problems)
	}
	if !slices.Contains(b.record.Delivered, Place{"box", "kv/a"}) || b.stored("kv/a").Version == 0 {
		b.t.Errorf("delivered %v", b.record.Delivered)
	}
}

// A secret is looked for, replaced and removed in the store that it was delivered to only; accounts are no matter of stores.
func TestDeliveriesStayWithTheirStore(t *testing.T) {
	elsewhere, err := sandbox.Open(sandbox.Config{Path: filepath.Join(t.TempDir(), "elsewhere.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = elsewhere.Close() })
	b := newBench(t)
	here := b.rotation.Deliveries
	b.driver.store = "eu"
	b.create()
	b.moveTo("us", elsewhere)
	_, problems := PlanRotation(t.Context(), b.fleet, b.rotation, b.record, nil, b.now)
	b.wantKept(problems)
	b.wantKept(b.again())

	// What is to go elsewhere goes, and what is left is still known to be where it was.
	b.rotation.Deliveries = []Delivery{{Place{"elsewhere", "kv/a"}, DefaultFields()}}
	for range 2 {
		b.wantKept(b.again())
	}
	b.moveTo("eu", elsewhere)
	if problems := b.again(); len(problems) > 0 || len(b.record.Delivered) != 1 {
		t.Fatalf("delivered %v, %v", b.record.Delivered, problems)
	}

	// Now nothing is here, so it does not matter which store is, until something is delivered again.
	b.moveTo("us", elsewhere)
	b.rotation.Deliveries, b.now = here, b.now.Add(2*b.rotation.Overlap)
	if problems := b.again(); len(problems) > 0 || len(b.record.Delivered) != 2 {
		t.Fatalf("delivered %v, %v", b.record.Delivered, problems)
	}
	b.moveTo("eu", elsewhere)
	left, problems := DeleteRotation(t.Context(), b.fleet, b.rotation, b.record)
	b.record = left
	b.wantKept(problems)
	if b.labels() != "" || len(left.Credentials) > 0 {
		t.Errorf("the account's credentials %s, on record %v", b.labels(), left.Credentials)
	}
	b.moveTo("us", elsewhere)
	left, problems = DeleteRotation(t.Context(), b.fleet, b.rotation, b.record)
	if len(problems) > 0 || len(left.Delivered) > 0 {
		t.Errorf("left %v, %v", left, problems)
	}
}

// State from before stores were told apart knows the system only.
func TestStoreIsNotedLater(t *testing.T) {
	b := newBench(t).create()
	system := b.record.Targets["box"]
	b.driver.store = "eu"
	b.restart()
	if problems := b.again(); len(problems) > 0 || b.record.Targets["box"] != system || b.record.Targets["box/store"] != system+"/eu" {
		t.Errorf("targets %v, %v", b.record.Targets, problems)
	}
}
