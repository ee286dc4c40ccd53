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
	// skip are the steps that are left out.
	skip []string
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
	quiet := scene{n: 167, shape: withCount, site: inFiles}
	watched := quiet
	watched.audited = true
	return []set{
		{name: "refresh", cli: programs.OpenTofu, rounds: 1, pairs: refreshes()},
		{name: "memory", cli: programs.OpenTofu, rounds: 1, skip: []string{destroy}, pairs: [][]contender{
			{{scene{n: most, shape: alone, site: inFiles}, subject}},
		}},
		{name: "servers", cli: programs.OpenTofu, rounds: 1, pairs: [][]contender{
			{{scene{n: bulk, shape: inTwoStates, site: onServers}, subject}},
		}},
		{name: "postgresql", cli: programs.OpenTofu, rounds: 1, pairs: rivals()},
		{name: "shapes", cli: programs.TerraformNew, rounds: 1, skip: []string{refresh}, pairs: forms()},
		{name: "audit", cli: programs.OpenTofu, rounds: 3, skip: []string{planNoop, refresh}, audit: time.Millisecond, pairs: [][]contender{
			{{quiet, subject}, {watched, subject}},
		}},
	}
}

func refreshes() [][]contender {
	var all [][]contender
	for _, s := range []scene{
		{n: few, site: inFiles}, {n: few, site: inServices, latency: near}, {n: few, site: inServices, latency: far},
		{n: bulk, site: inFiles}, {n: bulk, site: inServices, latency: near},
	} {
		s.shape = inTwoStates
		all = append(all, []contender{{s, baseline}, {s, subject}})
	}
	return all
}

// rivals are the providers for PostgreSQL, near it at every parallelism, and farther away.
func rivals() [][]contender {
	var all [][]contender
	for _, s := range []scene{{parallelism: 1}, {parallelism: 10}, {parallelism: 50}, {parallelism: 10, latency: near}} {
		s.n, s.shape, s.site = few, withCount, onPostgreSQL
		all = append(all, []contender{{s, peer}, {s, subject}})
	}
	return all
}

// forms are the shapes with a provider that does nothing: what Terraform itself needs.
func forms() [][]contender {
	var all [][]contender
	for _, n := range []int{few, 3 * few} {
		for _, shape := range []string{withCount, withForEach, inBlocks, inTwoStates} {
			all = append(all, []contender{{scene{n: n, shape: shape, site: inFiles}, baseline}})
		}
	}
	return all
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
	with.cli, with.audit, with.rounds, with.skip = cli, s.audit, s.rounds, s.skip
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
	if err := os.MkdirAll(filepath.Dir(kept(root, f.Set)), 0o755); err != nil { //nolint:gosec // Published figures.
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
