package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed page.md.tmpl
var pageTemplate string

// pageFile is the page on scale, of which tfplugindocs makes docs/guides/scale.md.
func pageFile(root string) string { return filepath.Join(root, "templates", "guides", "scale.md.tmpl") }

// page is what the page is made of, by the name of the set.
type page map[string]figures

// render writes the page and its plots from the figures that are kept.
func render(root string) error {
	p, err := loadPage(root)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, "docs", "images"), 0o755); err != nil { //nolint:gosec // Documentation is public.
		return err
	}
	if err := p.plots(root); err != nil {
		return err
	}
	text, err := p.markdown()
	if err != nil {
		return err
	}
	return os.WriteFile(pageFile(root), []byte(text), 0o644) //nolint:gosec // Documentation is public.
}

func loadPage(root string) (page, error) {
	p := make(page)
	for _, name := range setNames() {
		f, err := load(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the page says so
		}
		if err != nil {
			return nil, err
		}
		p[name] = f
	}
	return p, nil
}

func (p page) markdown() (string, error) {
	funcs := template.FuncMap{
		"place": p.place, "measured": p.measured, "refresh": p.refreshTable, "memory": p.memoryTable, "servers": p.serversTable,
		"postgresql": p.postgresqlTable, "shapes": p.shapesTable, "audit": p.auditTable,
		"refreshRatio": p.refreshRatio, "providerMB": p.providerMB, "faster": p.fasterRange, "errors": p.errorsOf, "auditPercent": p.auditPercent,
	}
	// Its own delimiters: what it writes is a template of tfplugindocs, which knows {{ }}.
	parsed, err := template.New("page").Delims("<%", "%>").Funcs(funcs).Parse(pageTemplate)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, nil); err != nil {
		return "", err
	}
	return out.String(), nil
}

// measured reports whether the figures of a set are kept, so that there is a plot of them.
func (p page) measured(set string) bool { _, kept := p[set]; return kept }

// notMeasured stands in the page for figures that are not kept.
const notMeasured = "not measured yet"

// place says with what and on what a set was measured.
func (p page) place(set string) string {
	f, measured := p[set]
	if !measured {
		return notMeasured
	}
	text := fmt.Sprintf("%s, %d CPUs", f.CLI, f.CPUs)
	if f.Rounds > 1 {
		text += fmt.Sprintf(", medians of %d rounds", f.Rounds)
	}
	return text
}

// pair is a result of the subject and the one that it is compared with, without steps if there is none.
type pair struct{ base, nhi result }

// pairs puts the results of a set together.
func (f figures) pairs() []pair {
	audited := slices.ContainsFunc(f.Results, func(r result) bool { return r.Audited })
	var out []pair
	for _, r := range f.Results {
		if r.Provider != subject || r.Audited != audited {
			continue
		}
		p := pair{nhi: r}
		i := slices.IndexFunc(f.Results, func(other result) bool { return other.rivals(r) })
		if i >= 0 {
			p.base = f.Results[i]
		}
		out = append(out, p)
	}
	return out
}

// rivals reports whether two results are of the same scene and not of the same contender.
func (r result) rivals(s result) bool {
	different := r.Provider != s.Provider || r.Audited != s.Audited
	return different && r.Identities == s.Identities && r.Shape == s.Shape && r.Site == s.Site && r.Latency == s.Latency &&
		r.Parallelism == s.Parallelism
}

// find returns the pair of a size and a latency.
func (f figures) find(n int, latency time.Duration) (pair, bool) {
	for _, p := range f.pairs() {
		if p.nhi.Identities == n && p.nhi.Latency == latency {
			return p, true
		}
	}
	return pair{}, false
}

func (r result) step(name string) cost {
	for _, c := range r.Steps {
		if c.Step == name {
			return c
		}
	}
	return cost{}
}

func (p pair) ratio(step string) float64 {
	return p.nhi.step(step).Wall.Seconds() / p.base.step(step).Wall.Seconds()
}

func (p page) refreshRatio(n int, latency string) (string, error) {
	d, err := time.ParseDuration(latency)
	if err != nil {
		return "", err
	}
	found, ok := p["refresh"].find(n, d)
	if !ok {
		return notMeasured, nil
	}
	return fmt.Sprintf("%.2f", found.ratio(refresh)), nil
}

// providerMB is the most that the provider needed in any step.
func (p page) providerMB() string {
	var most int64
	for _, f := range p["memory"].pairs() {
		for _, c := range f.nhi.Steps {
			most = max(most, c.ProviderKB)
		}
	}
	if most == 0 {
		return notMeasured
	}
	return fmt.Sprintf("%d MB", most/1024)
}

// faster is how much less time was spent at PostgreSQL.
func (p pair) faster(step string) float64 {
	busy := func(r result) float64 { return busyOf(r.step(step)).Seconds() }
	return busy(p.base) / busy(p.nhi)
}

func busyOf(c cost) time.Duration {
	var most time.Duration
	for _, t := range c.Traffic {
		most = max(most, t.Busy)
	}
	return most
}

func (p page) fasterRange(step string) string {
	low, high := math.Inf(1), 0.0
	for _, pair := range p["postgresql"].pairs() {
		low, high = min(low, pair.faster(step)), max(high, pair.faster(step))
	}
	if high == 0 {
		return notMeasured
	}
	return fmt.Sprintf("%.0f to %.0f times faster", math.Floor(low), math.Floor(high))
}

// errorsOf is the sum of all errors of a provider on PostgreSQL.
func (p page) errorsOf(provider string) string {
	if len(p["postgresql"].Results) == 0 {
		return notMeasured
	}
	sum := 0
	for _, r := range p["postgresql"].Results {
		for _, c := range r.Steps {
			if r.Provider == provider {
				sum += c.Errors
			}
		}
	}
	return strconv.Itoa(sum)
}

func (p page) auditPercent(figure string) string {
	pairs := p["audit"].pairs()
	if len(pairs) == 0 {
		return notMeasured
	}
	a, b := pairs[0].base.step(apply), pairs[0].nhi.step(apply)
	before, after := a.Wall.Seconds(), b.Wall.Seconds()
	if figure == "cpu" {
		before, after = a.CPU.Seconds(), b.CPU.Seconds()
	}
	return fmt.Sprintf("%+.1f %%", 100*(after/before-1))
}

// requests are those per platform: one number where all are alike.
func requests(c cost) string {
	kinds := make(map[string]int64)
	platforms := 0
	for key, t := range c.Traffic {
		kind, _, _ := strings.Cut(key, "/")
		kinds[kind] = max(kinds[kind], t.Requests)
		platforms++
	}
	var out []string
	for _, kind := range slices.Sorted(keys(kinds)) {
		out = append(out, fmt.Sprintf("%s %d", kind, kinds[kind]))
	}
	if len(kinds) == 1 && platforms > 1 {
		out[0] += " each"
	}
	if len(out) == 0 {
		return "–"
	}
	return strings.Join(out, ", ")
}
