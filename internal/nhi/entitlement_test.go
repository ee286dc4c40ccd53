package nhi_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func drawEntitlements(t *rapid.T, label string) []nhi.Entitlement {
	one := rapid.Custom(func(t *rapid.T) nhi.Entitlement {
		return nhi.Entitlement{
			Type:       rapid.SampledFrom([]string{"role", "table"}).Draw(t, "type"),
			Target:     rapid.StringMatching(`[ab]{1,2}`).Draw(t, "target"),
			Permission: rapid.SampledFrom([]string{"", "select"}).Draw(t, "permission"),
		}
	})
	return rapid.SliceOfN(one, 0, 8).Draw(t, label)
}

// TestSetOperations compares every operation with its meaning, member by member.
func TestSetOperations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawEntitlements(t, "a"), drawEntitlements(t, "b")
		beforeA, beforeB := slices.Clone(a), slices.Clone(b)
		for name, operation := range map[string]struct {
			got  []nhi.Entitlement
			want func(inA, inB bool) bool
		}{
			"without":   {nhi.Without(a, b), func(inA, inB bool) bool { return inA && !inB }},
			"intersect": {nhi.Intersect(a, b), func(inA, inB bool) bool { return inA && inB }},
			"union":     {nhi.Union(a, b), func(inA, inB bool) bool { return inA || inB }},
		} {
			for _, e := range slices.Concat(a, b, operation.got) {
				if want := operation.want(slices.Contains(a, e), slices.Contains(b, e)); slices.Contains(operation.got, e) != want {
					t.Fatalf("%s of %v and %v is %v: wrong about %v", name, a, b, operation.got, e)
				}
			}
			texts := nhi.Texts(operation.got)
			if !slices.IsSorted(texts) || len(slices.Compact(slices.Clone(texts))) != len(texts) {
				t.Fatalf("%s: %v is not sorted, or repeats itself", name, texts)
			}
		}
		if !slices.Equal(a, beforeA) || !slices.Equal(b, beforeB) {
			t.Fatal("an argument was changed")
		}
	})
}

func TestTexts(t *testing.T) {
	es := []nhi.Entitlement{{Type: "table", Target: "a.b", Permission: "select"}, {Type: "role", Target: "x"}, {Type: "role", Target: "x"}}
	if got := nhi.JoinTexts(es); got != "table:a.b#select, role:x, role:x" {
		t.Errorf("JoinTexts: %s", got)
	}
	if diff := cmp.Diff([]string{"role:x", "table:a.b#select"}, nhi.Texts(nhi.SortEntitlements(es))); diff != "" {
		t.Errorf("sorted (-want +got):\n%s", diff)
	}
	if got := nhi.JoinTexts(nil); got != "" {
		t.Errorf("JoinTexts(nil): %q", got)
	}
}
