package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// set is a part of the report that is measured as a whole, so that what is compared was measured in one run.
type set struct {
	name string
	cli  programs.Program
	// pairs are measured one after the other; the contenders of each by turns.
	pairs [][]contender
	// rounds is how often each pair is measured; medians are kept.
	rounds int
	// audit is how long a sink takes to answer.
	audit time.Duration
}

// contender is a provider on a scene.
type contender struct {
	scene
	provider string
}

// result is what a contender used.
type result struct {
	Provider    string        `json:"provider"`
	Identities  int           `json:"identities"`
	Shape       string        `json:"shape"`
	Site        string        `json:"site"`
	Latency     time.Duration `json:"latency_ns"`
	Parallelism int           `json:"parallelism,omitempty"`
	Audited     bool          `json:"audited,omitempty"`
	Steps       []cost        `json:"steps"`
}

// figures are the results of a set, as they are kept in the repository.
type figures struct {
	Set     string   `json:"set"`
	CLI     string   `json:"cli"`
	CPUs    int      `json:"cpus"`
	Rounds  int      `json:"rounds"`
	Results []result `json:"results"`
}

const (
	// few, bulk and most are numbers of identities.
	few, bulk, most = 100, 1000, 5000
	// near and far are the latencies of a data centre and of another continent.
	near, far = 20 * time.Millisecond, 100 * time.Millisecond
)

// sets are the parts of the report. The refresh is compared where Terraform itself needs least, which is hardest for us.
func sets() []set {
	against := func(s scene) []contender { return []contender{{s, baseline}, {s, subject}} }
	at := func(n int, site string, latency time.Duration) scene {
		return scene{n: n, shape: inTwoStates, site: site, latency: latency}
	}
	refreshes := [][]contender{
		against(at(few, inFiles, 0)), against(at(few, inServices, near)), against(at(few, inServices, far)),
		against(at(bulk, inFiles, 0)), against(at(bulk, inServices, near)), against(at(bulk, inServices, far)),
	}
	var postgresql, forms [][]contender
	for _, parallelism := range []int{1, 10, 50} {
		s := scene{n: few, shape: withCount, site: onPostgreSQL, parallelism: parallelism}
		postgresql = append(postgresql, []contender{{s, peer}, {s, subject}})
	}
	slow := scene{n: few, shape: withCount, site: onPostgreSQL, parallelism: 10, latency: near}
	postgresql = append(postgresql, []contender{{slow, peer}, {slow, subject}})
	for _, n := range []int{few, 3 * few} {
		for _, shape := range shapes() {
			forms = append(forms, []contender{{scene{n: n, shape: shape, site: inFiles}, baseline}})
		}
	}
	for _, shape := range []string{inBlocks, inTwoStates} {
		forms = append(forms, []contender{{scene{n: bulk, shape: shape, site: inFiles}, baseline}})
	}
	quiet := scene{n: 167, shape: withCount, site: inFiles}
	watched := quiet
	watched.audited = true
	return []set{
		{name: "refresh", cli: programs.OpenTofu, rounds: 1, pairs: refreshes},
		{name: "memory", cli: programs.OpenTofu, rounds: 1, pairs: [][]contender{against(at(most, inFiles, 0))}},
		{name: "servers", cli: programs.OpenTofu, rounds: 1, pairs: [][]contender{against(at(bulk, onServers, 0))}},
		{name: "postgresql", cli: programs.OpenTofu, rounds: 1, pairs: postgresql},
		{name: "shapes", cli: programs.TerraformNew, rounds: 1, pairs: forms},
		{name: "audit", cli: programs.OpenTofu, rounds: 5, audit: time.Millisecond, pairs: [][]contender{{{quiet, subject}, {watched, subject}}}},
	}
}

// setNames lists the sets for messages.
func setNames() []string {
	var names []string
	for _, s := range sets() {
		names = append(names, s.name)
	}
	return names
}

// report measures the named sets, all if none is named, and keeps each as soon as it is measured. Then it renders the page.
func (l *lab) report(ctx context.Context, names []string) error {
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	for _, s := range sets() {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		measured, err := l.measureSet(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := keep(root, measured); err != nil {
			return err
		}
	}
	return render(root)
}

func (l *lab) measureSet(ctx context.Context, s set) (figures, error) {
	cli, err := s.cli.Path(ctx, os.Stderr)
	if err != nil {
		return figures{}, err
	}
	with := *l
	with.cli, with.audit, with.rounds = cli, s.audit, s.rounds
	if s.name == "postgresql" {
		if err := with.findPeer(ctx); err != nil {
			return figures{}, err
		}
	}
	version, _, _ := strings.Cut(output(ctx, cli, "version"), "\n")
	out := figures{Set: s.name, CLI: version, CPUs: runtime.NumCPU(), Rounds: s.rounds}
	for _, pair := range s.pairs {
		costs, err := with.byTurns(ctx, pair)
		if err != nil {
			return figures{}, err
		}
		for i, c := range pair {
			out.Results = append(out.Results, result{
				Provider: c.provider, Identities: c.n, Shape: c.shape, Site: c.site, Latency: c.latency, Parallelism: c.parallelism,
				Audited: c.audited, Steps: costs[i],
			})
		}
	}
	return out, nil
}

// findPeer builds the provider that PostgreSQL users run today, at its first use.
func (l *lab) findPeer(ctx context.Context) error {
	path, err := programs.PostgreSQLPeer.Path(ctx, os.Stderr)
	l.peerDir = filepath.Dir(path)
	return err
}

// kept is where the figures of a set are.
func kept(root, set string) string {
	return filepath.Join(root, "tools", "bench", "report", set+".json")
}

func keep(root string, f figures) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(kept(root, f.Set), append(text, '\n'), 0o644) //nolint:gosec // Published figures.
}

func load(root, set string) (figures, error) {
	var f figures
	text, err := os.ReadFile(kept(root, set))
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("%s: %w", kept(root, set), err)
	}
	return f, nil
}
