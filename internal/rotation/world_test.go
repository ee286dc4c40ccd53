package rotation

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// world is a platform with stores, and the state of a run that may be lost.
type world struct {
	credentials []nhi.Credential
	stores      []Holding
	saved       Record
	now         time.Time
	// waits is set if the last plan had no room for a new credential.
	waits bool
	// id is the one that every credential gets, "" if each has its own.
	id string
}

// apply runs what is due and stops before step number fuse; what is recorded is saved only at the end. It returns
// whether it came to the end.
func (w *world) apply(s Settings, fuse int) (bool, error) {
	p, err := Next(w.saved, Observed{Credentials: w.credentials, Stores: w.stores}, s, nil, w.now)
	if err != nil {
		return false, err
	}
	record, made := p.Record, ""
	w.waits = p.Waits
	for i, step := range p.Steps {
		if i == fuse {
			return false, nil
		}
		switch step.Kind {
		case StepIssue:
			c := nhi.Credential{ID: cmp.Or(w.id, "id-"+step.Label), Label: step.Label, CreatedAt: w.now}
			w.credentials, made = append(w.credentials, c), c.ID
			record = record.Issued(c, w.now)
		case StepVerify:
			if !w.listed(step.Label) {
				return false, fmt.Errorf("%s cannot log in", step.Label)
			}
		case StepDeliver:
			record = record.Left(w.stores[step.Store].ID, w.now.Add(s.Overlap))
			w.stores[step.Store] = Holding{Label: step.Label, ID: cmp.Or(step.ID, made), Readable: true, AsDeclared: true, IssuedAt: w.now}
		case StepPromote:
			record = record.Promoted(cmp.Or(step.ID, made), w.now, s.Overlap, time.Time{})
		case StepRevoke:
			w.credentials = slices.DeleteFunc(w.credentials, func(c nhi.Credential) bool { return c.ID == step.ID })
			record = record.Without(step.ID)
		}
		if err := w.check(s); err != nil {
			return false, fmt.Errorf("after %+v of %+v: %w", step, p.Steps, err)
		}
	}
	w.saved = record
	return true, nil
}

func (w *world) listed(label string) bool {
	return slices.ContainsFunc(w.credentials, func(c nhi.Credential) bool { return c.Label == label })
}

// check is what holds at every moment: what a store holds works, and there are no more credentials than slots. In place
// nothing else is possible than that it does not for a while.
func (w *world) check(s Settings) error {
	if len(w.credentials) > s.Slots {
		return fmt.Errorf("%d credentials in %d slots", len(w.credentials), s.Slots)
	}
	for i, h := range w.stores {
		if s.Slots > 1 && h.Label != "" && !w.listed(h.Label) {
			return fmt.Errorf("store %d holds %s, which does not work", i, h.Label)
		}
	}
	return nil
}

// settled is what holds after a run that came to its end.
func (w *world) settled() error {
	current, ok := w.saved.Current()
	if !ok || len(w.saved) != len(w.credentials) {
		return fmt.Errorf("recorded are %+v, there are %+v", w.saved, w.credentials)
	}
	for i, h := range w.stores {
		if h.Label != current.Label {
			return fmt.Errorf("store %d holds %s, current is %s", i, h.Label, current.Label)
		}
	}
	return nil
}

// rollBack lets a store hold again what it held before, as long as that works.
func (w *world) rollBack(store int, before []Holding) {
	works := slices.DeleteFunc(slices.Clone(before), func(h Holding) bool { return !w.listed(h.Label) })
	if len(works) > 0 {
		w.stores[store] = works[0]
	}
}

// Runs that are killed at any step, at any time, again and again, and stores that are rolled back in between: no caller ever reads a
// credential that does not work, and the first run that is left alone and has room puts everything in order.
func TestKilledRuns(t *testing.T) {
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
		s := settings(func(s *Settings) {
			s.Slots = 2 + random.IntN(3)
			s.Overlap = time.Duration(random.IntN(2)) * day
		})
		w := &world{stores: make([]Holding, 1+random.IntN(3)), now: start}
		held := make([][]Holding, len(w.stores)) // what each store has held
		for range 12 {
			w.now = w.now.Add(time.Duration(random.IntN(40*24)) * hour)
			for i := range w.stores {
				held[i] = append(held[i], w.stores[i])
				if random.IntN(4) == 0 {
					w.rollBack(i, held[i])
				}
			}
			fuse := random.IntN(8) // beyond the last step: the run is left alone
			s.Forced = false
			done, err := w.apply(s, fuse)
			if err == nil && done && !w.waits {
				err = w.settled()
			}
			if err != nil {
				t.Fatalf("seed %d: %v\n%+v", seed, err, w)
			}
		}
		for range 3 {
			w.now = w.now.Add(2 * day)
			if done, err := w.apply(s, -1); err != nil || !done {
				t.Fatalf("seed %d: the last runs: %v\n%+v", seed, err, w)
			}
		}
		if err := w.settled(); err != nil || w.waits {
			t.Fatalf("seed %d: the last run: %v\n%+v", seed, err, w)
		}
	}
}

// Where an account has one credential, and that keeps its id, a killed rotation is one outage and not two: once a store holds the
// new credential, the next run gives it to the others.
func TestKilledInPlace(t *testing.T) {
	forced := settings(func(s *Settings) { s.Slots, s.AllowOutage, s.Every, s.Overlap, s.Forced = 1, true, 0, 0, true })
	quiet := forced
	quiet.Forced = false
	for fuse := range 7 {
		w := &world{stores: make([]Holding, 2), now: start, id: "client_secret"}
		if done, err := w.apply(quiet, -1); !done || err != nil {
			t.Fatal(done, err)
		}
		if done, err := w.apply(forced, fuse); done != (fuse == 6) || err != nil {
			t.Fatalf("fuse %d: %v %v", fuse, done, err)
		}
		delivered := w.stores[0]
		if done, err := w.apply(quiet, -1); !done || err != nil || w.settled() != nil {
			t.Errorf("fuse %d: %v %v %v", fuse, done, err, w.settled())
		}
		if works := w.listed(w.stores[0].Label); !works || fuse > 3 && w.stores[0].Label != delivered.Label {
			t.Errorf("fuse %d: the store held %s and holds %s, which works: %t", fuse, delivered.Label, w.stores[0].Label, works)
		}
	}
}
