package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// The page in the repository is what its figures say.
func TestPageIsMadeOfTheKeptFigures(t *testing.T) {
	root, err := testenv.Root()
	if err != nil {
		t.Fatal(err)
	}
	p, err := loadPage(root)
	if err != nil {
		t.Fatal(err)
	}
	want, err := p.markdown()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(pageFile(root))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the kept figures say: run make generate", pageFile(root))
	}
}

// invented are figures of every set, none of them measured.
func invented() page {
	costs := func(wall time.Duration) []cost {
		var out []cost
		for _, s := range steps() {
			out = append(out, cost{Step: s.name, Wall: wall, CPU: wall, ProviderKB: 90 << 10, LargestKB: 200 << 10, Traffic: map[string]traffic{
				"scim/alpha": {Requests: 11, Busy: wall}, "scim/beta": {Requests: 12, Busy: wall / 2},
			}})
		}
		return out
	}
	p := make(page)
	for _, s := range sets() {
		f := figures{Set: s.name, CLI: "a CLI", CPUs: 2, Rounds: s.rounds}
		for _, all := range s.pairs {
			for i, c := range all {
				wall := 10 * time.Second
				if c.provider == peer {
					wall = 200 * time.Second
				}
				f.Results = append(f.Results, result{
					Provider: c.provider, Identities: c.n, Shape: c.shape, Site: c.site, Latency: c.latency, Parallelism: c.parallelism,
					Audited: c.audited, Steps: costs(wall + time.Duration(i)*time.Second),
				})
			}
		}
		p[s.name] = f
	}
	return p
}

func TestPageOfEverySet(t *testing.T) {
	text, err := invented().markdown()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"provider that does nothing | 1.10 |", "| 90 MB |", "18 times faster", "+10.0 % time", "| scim 12 each |", "| 300 | for_each |",
		"PostgreSQL, Vault, SCIM",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, notMeasured) || strings.Contains(text, "NaN") {
		t.Errorf("the page lacks figures:\n%s", text)
	}
}

func TestPageWithoutFiguresSaysSo(t *testing.T) {
	text, err := page{}.markdown()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text, notMeasured); n < 6 {
		t.Errorf("%d places say that nothing was measured:\n%s", n, text)
	}
}

func TestPlotsAreTheSameForTheSameFigures(t *testing.T) {
	var drawn [2]string
	for i := range drawn {
		root := t.TempDir()
		if err := os.MkdirAll(root+"/docs/images", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := invented().plots(root); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"scale-refresh", "scale-postgresql", "scale-shapes"} {
			text, err := os.ReadFile(image(root, name))
			if err != nil {
				t.Fatal(err)
			}
			drawn[i] += string(text)
		}
	}
	if drawn[0] != drawn[1] || !strings.Contains(drawn[0], "Time at PostgreSQL") {
		t.Error("the plots differ from run to run, or lack their titles")
	}
}

func TestComplaints(t *testing.T) {
	n, first := complaints("ok\n│ Error: tuple concurrently updated\n\nError: another\n")
	if n != 2 || first != "tuple concurrently updated" {
		t.Errorf("%d, first %q", n, first)
	}
}
