package rotation

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// FuzzNext decides on records that no rotation would leave, as damage or another version may have made them. It always
// comes to a decision, revokes nothing twice and nothing that nobody has seen, never the current credential where
// there is room for another one, and of the others none that no plan has named.
func FuzzNext(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		moment := rapid.Custom(func(t *rapid.T) time.Time {
			return rapid.SampledFrom([]time.Time{{}, start.Add(-99 * day), start, start.Add(hour), start.Add(99 * day)}).Draw(t, "time")
		})
		number := rapid.IntRange(-1, 6)
		record := Record(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Credential {
			n := number.Draw(t, "number")
			return Credential{
				ID: id(n), Label: rapid.SampledFrom([]string{labels.Label(n), "", "nhi-999999999999999999999-x", "other"}).Draw(t, "label"),
				Stage:    rapid.SampledFrom([]Stage{Pending, Current, Previous, "", "gone"}).Draw(t, "stage"),
				IssuedAt: moment.Draw(t, "issued"), PromotedAt: moment.Draw(t, "promoted"), RetireAt: moment.Draw(t, "retire"),
			}
		}), 0, 6).Draw(t, "record"))
		seen := Observed{Suspended: rapid.Bool().Draw(t, "suspended"), ExpiresAt: moment.Draw(t, "expires")}
		for _, n := range rapid.SliceOfNDistinct(number, 0, 6, rapid.ID[int]).Draw(t, "listed") {
			label := rapid.SampledFrom([]string{labels.Label(n), "", "other"}).Draw(t, "shown")
			seen.Credentials = append(seen.Credentials, nhi.Credential{ID: id(n), Label: label, CreatedAt: moment.Draw(t, "made"), ExpiresAt: moment.Draw(t, "ends")})
		}
		seen.Stores = holds(rapid.SliceOfN(rapid.IntRange(0, 6), 0, 3).Draw(t, "stores")...)
		slots := rapid.IntRange(0, 3).Draw(t, "slots")
		s := settings(func(s *Settings) {
			s.Slots, s.AllowOutage, s.RequireUse = slots, rapid.Bool().Draw(t, "outage"), rapid.Bool().Draw(t, "use")
			s.Forced = rapid.Bool().Draw(t, "forced")
		})
		var named func(string) bool
		if rapid.Bool().Draw(t, "applied") {
			ids := rapid.SliceOf(rapid.Custom(func(t *rapid.T) string { return id(number.Draw(t, "named")) })).Draw(t, "shown")
			named = func(id string) bool { return slices.Contains(ids, id) }
		}
		plan, err := Next(record, seen, s, named, moment.Draw(t, "now"))
		if err != nil {
			return
		}
		current, hasCurrent := plan.Record.Current()
		revoked := map[string]bool{}
		for _, step := range plan.Steps {
			if step.Kind != StepRevoke {
				continue
			}
			there := false
			for _, c := range seen.Credentials {
				there = there || c.ID == step.ID
			}
			if !there || revoked[step.ID] {
				t.Fatalf("revokes %q, twice or although the platform does not list it: %+v", step.ID, plan.Steps)
			}
			revoked[step.ID] = true
			if named != nil && !named(step.ID) && (!hasCurrent || step.ID != current.ID) {
				t.Fatalf("revokes %s, which no plan has named: %+v", step.ID, plan.Steps)
			}
			if hasCurrent && slots > 1 && step.ID == current.ID {
				t.Fatalf("revokes the current credential: %+v", plan.Steps)
			}
		}
	}))
}
