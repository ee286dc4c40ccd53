package driver_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func role(name string) nhi.Entitlement { return nhi.Entitlement{Type: "role", Target: name} }

// spelt writes holdings as "entitlement < last < ... < first".
func spelt(holdings []driver.Holding) []string {
	var out []string
	for _, h := range holdings {
		text := h.Entitlement.String()
		for i := len(h.Via) - 1; i >= 0; i-- {
			text += " < " + strings.TrimPrefix(h.Via[i], "role:")
		}
		out = append(out, strings.TrimPrefix(text, "role:"))
	}
	return out
}

func TestInherit(t *testing.T) {
	graph := map[string]string{
		"near": "deep far", "other": "deep", "deep": "deepest", "deepest": "near", // A ring, and two ways to deep.
		"self": "self x", "far": "",
	}
	asked := map[nhi.Entitlement]int{}
	got, err := driver.Inherit([]nhi.Entitlement{role("self"), role("other"), role("near"), role("far"), role("near")},
		func(e nhi.Entitlement) ([]nhi.Entitlement, error) {
			asked[e]++
			var out []nhi.Entitlement
			for _, name := range strings.Fields(graph[e.Target]) {
				out = append(out, role(name))
			}
			return out, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"far", "near", "other", "self", "deep < near", "deep < other", "deepest < deep < near", "far < near", "x < self",
	}
	if diff := cmp.Diff(want, spelt(got)); diff != "" {
		t.Errorf("holdings (-want +got):\n%s", diff)
	}
	for e, n := range asked {
		if n != 1 {
			t.Errorf("asked %d times about %s", n, e)
		}
	}
}

// TestInheritDiamonds has 2^40 ways.
func TestInheritDiamonds(t *testing.T) {
	got, err := driver.Inherit([]nhi.Entitlement{role("a"), role("b")}, func(e nhi.Entitlement) ([]nhi.Entitlement, error) {
		if len(e.Target) == 40 {
			return nil, nil
		}
		next := strings.Repeat("x", len(e.Target))
		return []nhi.Entitlement{role(next + "a"), role(next + "b")}, nil
	})
	if err != nil || len(got) != 2+39*4 {
		t.Errorf("%d holdings, error %v; want %d", len(got), err, 2+39*4)
	}
}

func TestInheritFails(t *testing.T) {
	refused := errors.New("refused")
	got, err := driver.Inherit([]nhi.Entitlement{role("a")}, func(nhi.Entitlement) ([]nhi.Entitlement, error) { return nil, refused })
	if !errors.Is(err, refused) || got != nil {
		t.Errorf("%v, error %v", got, err)
	}
}
