package lifecycle

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// keeper is a store that refuses to remove secrets.
type keeper struct{ *troubled }

func (keeper) RemoveSecret(_ context.Context, path string) error {
	return driver.Errorf(driver.PermissionDenied, "no right to remove %s", path)
}

// A delivery moves, what it left cannot be removed, and the change is taken back: the old place holds the previous credential, which
// becomes the current one again, whatever fails. The other one goes after an overlap.
func TestDeliveryMovesAndBack(t *testing.T) {
	b := newBench(t)
	old := []Delivery{{Place{"box", "kv/a"}, DefaultFields()}}
	b.rotation.Deliveries = old
	b.create()
	b.reach(keeper{b.driver})
	b.rotation.Deliveries = []Delivery{{Place{"box", "kv/c"}, DefaultFields()}}
	b.wantProblem(b.again(), "no right to remove kv/a")
	b.rotation.Deliveries = old
	b.now = b.now.Add(25 * time.Hour)
	b.driver.issue = func(driver.Issued, error) (driver.Issued, error) {
		return driver.Issued{}, driver.Errorf(driver.Unavailable, "the answer is lost")
	}
	b.restart()
	if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-1 nhi-2" || !slices.Equal(b.record.Delivered, []Place{old[0].Place}) {
		t.Errorf("%v, credentials %s, delivered %v", problems, b.labels(), b.record.Delivered)
	}
	b.wantWorking()
	b.now = b.now.Add(25 * time.Hour)
	b.restart()
	if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-1" {
		t.Errorf("%v, credentials %s", problems, b.labels())
	}
	b.wantWorking()
}

// One store is rolled back long after the overlap: who has read it there gets another overlap.
func TestStoreIsRolledBack(t *testing.T) {
	b := newBench(t).create()
	before := b.stored("kv/b")
	if problems := b.due(); len(problems) > 0 {
		t.Fatal(problems)
	}
	b.now = b.now.Add(25 * time.Hour)
	before.Version = b.stored("kv/b").Version
	if _, err := b.driver.PutSecret(t.Context(), "kv/b", before); err != nil {
		t.Fatal(err)
	}
	b.restart()
	view, problems := PlanRotation(t.Context(), b.fleet, b.rotation, b.record, nil, b.now)
	if len(problems) > 0 || len(view.Notes) != 1 || !strings.Contains(view.Notes[0], `it is what "kv/b" in "box" holds`) {
		t.Errorf("the plan says %q and %q, %v", view.Words, view.Notes, problems)
	}
	for range 2 {
		if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-1 nhi-2" || !b.record.Credentials[0].RetireAt.Equal(b.clock().UTC().Truncate(time.Second).Add(24*time.Hour)) {
			t.Errorf("%v, credentials %s, record %+v", problems, b.labels(), b.record.Credentials)
		}
		b.wantWorking()
		if got := b.note("kv/b").Label; !strings.HasPrefix(got, "nhi-2-") {
			t.Errorf("kv/b holds %s", got)
		}
	}
	b.now = b.now.Add(25 * time.Hour)
	if problems := b.again(); len(problems) > 0 || b.labels() != "nhi-2" {
		t.Errorf("%v, credentials %s", problems, b.labels())
	}
}
