package main

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

func keys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }

// versus is a table of pairs with the floor that Terraform sets.
func versus(pairs []pair) string {
	var out strings.Builder
	out.WriteString("| Identities | Platforms | Latency | Step | Floor s | nhi s | Ratio | CPU ratio | Provider MB, floor / nhi | Requests per platform |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, p := range pairs {
		for _, b := range p.nhi.Steps {
			floor, ratios, memory := "–", "– | –", fmt.Sprintf("– / %d", b.ProviderKB/1024)
			if a := p.base.step(b.Step); a.Wall > 0 {
				floor, ratios = seconds(a.Wall), fmt.Sprintf("%.2f | %.2f", p.ratio(b.Step), b.CPU.Seconds()/a.CPU.Seconds())
				memory = fmt.Sprintf("%d / %d", a.ProviderKB/1024, b.ProviderKB/1024)
			}
			fmt.Fprintf(&out, "| %d | %s | %s | %s | %s | %s | %s | %s | %s |\n", p.nhi.Identities, siteName(p.nhi.Site),
				latencyName(p.nhi.Latency), b.Step, floor, seconds(b.Wall), ratios, memory, requests(b))
		}
	}
	return out.String()
}

func siteName(site string) string {
	switch site {
	case inFiles:
		return "3 sandbox files"
	case inServices:
		return "3 SCIM services"
	case onServers:
		return "PostgreSQL, Vault, SCIM"
	default:
		return "PostgreSQL"
	}
}

func latencyName(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

func (p page) refreshTable() string { return versus(p["refresh"].pairs()) }
func (p page) memoryTable() string  { return versus(p["memory"].pairs()) }
func (p page) serversTable() string { return versus(p["servers"].pairs()) }

func (p page) postgresqlTable() string {
	var out strings.Builder
	out.WriteString("| Latency | Parallelism | Step | At PostgreSQL s, peer / nhi | Faster | Round trips, peer / nhi | Whole command s, peer / nhi " +
		"| Errors, peer / nhi |\n|---|---|---|---|---|---|---|---|\n")
	for _, two := range p["postgresql"].pairs() {
		for _, b := range two.nhi.Steps {
			a := two.base.step(b.Step)
			faster := "–"
			if b.Step != planCreate { // The peer asks nothing then.
				faster = fmt.Sprintf("%.0f ×", math.Floor(two.faster(b.Step)))
			}
			fmt.Fprintf(&out, "| %s | %d | %s | %.2f / %.2f | %s | %d / %d | %s / %s | %d / %d |\n", latencyName(two.nhi.Latency), two.nhi.Parallelism,
				b.Step, busyOf(a).Seconds(), busyOf(b).Seconds(), faster, tripsOf(a), tripsOf(b), seconds(a.Wall), seconds(b.Wall), a.Errors, b.Errors)
		}
	}
	return out.String()
}

func tripsOf(c cost) int64 {
	var sum int64
	for _, t := range c.Traffic {
		sum += t.Requests
	}
	return sum
}

func (p page) shapesTable() string {
	var out strings.Builder
	out.WriteString("| Identities | Shape | Plan CPU s | Apply CPU s | No-op plan CPU s | Destroy CPU s | Largest MB |\n|---|---|---|---|---|---|---|\n")
	for _, r := range p["shapes"].Results {
		var largest int64
		for _, c := range r.Steps {
			largest = max(largest, c.LargestKB)
		}
		fmt.Fprintf(&out, "| %d | %s | %s | %s | %s | %s | %d |\n", r.Identities, r.Shape, seconds(r.step(planCreate).CPU),
			seconds(r.step(apply).CPU), seconds(r.step(planNoop).CPU), seconds(r.step(destroy).CPU), largest/1024)
	}
	return out.String()
}

func (p page) auditTable() string {
	var out strings.Builder
	out.WriteString("| | Without | With | Difference |\n|---|---|---|---|\n")
	for _, two := range p["audit"].pairs() {
		a, b := two.base.step(apply), two.nhi.step(apply)
		fmt.Fprintf(&out, "| Apply, time s | %.2f | %.2f | %s |\n| Apply, CPU s | %.2f | %.2f | %s |\n", a.Wall.Seconds(), b.Wall.Seconds(),
			p.auditPercent("time"), a.CPU.Seconds(), b.CPU.Seconds(), p.auditPercent("cpu"))
	}
	return out.String()
}

// plots draws the pictures of the page.
func (p page) plots(root string) error {
	for name, draw := range map[string]func(string) error{"refresh": p.plotRefresh, "postgresql": p.plotPostgreSQL, "shapes": p.plotShapes} {
		if _, measured := p[name]; measured {
			if err := draw(root); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p page) plotRefresh(root string) error {
	var groups []string
	floor, ours := series{name: "Terraform alone"}, series{name: "with nhi"}
	for _, two := range p["refresh"].pairs() {
		groups = append(groups, fmt.Sprintf("%d, %s", two.nhi.Identities, latencyName(two.nhi.Latency)))
		floor.values = append(floor.values, two.base.step(refresh).Wall.Seconds())
		ours.values = append(ours.values, two.nhi.step(refresh).Wall.Seconds())
	}
	return bars(root, "scale-refresh", "Refresh of identities on three platforms, by number and latency", "seconds", groups, []series{floor, ours})
}

func (p page) plotPostgreSQL(root string) error {
	var groups []string
	theirs, ours := series{name: "postgresql provider"}, series{name: "nhi"}
	for _, step := range []string{apply, planNoop, destroy} {
		for _, two := range p["postgresql"].pairs() {
			if two.nhi.Parallelism == 10 {
				groups = append(groups, fmt.Sprintf("%s, %s", step, latencyName(two.nhi.Latency)))
				theirs.values = append(theirs.values, busyOf(two.base.step(step)).Seconds())
				ours.values = append(ours.values, busyOf(two.nhi.step(step)).Seconds())
			}
		}
	}
	return bars(root, "scale-postgresql", "Time at PostgreSQL for the same roles with the same six rights", "seconds", groups, []series{theirs, ours})
}

func (p page) plotShapes(root string) error {
	at, all := p.shapeSeries()
	return lines(root, "scale-shapes", "What Terraform itself needs to apply identities and grants, by the shape of the configuration", "CPU seconds",
		"identities", at, all)
}

// shapeSeries are the costs of an apply by shape, over the numbers at.
func (p page) shapeSeries() (at []float64, all []series) {
	for _, r := range p["shapes"].Results {
		if !slices.Contains(at, float64(r.Identities)) {
			at = append(at, float64(r.Identities))
		}
	}
	slices.Sort(at)
	for _, shape := range shapes() {
		s := series{name: shape, values: make([]float64, len(at))}
		for i := range at {
			s.values[i] = math.NaN()
		}
		for _, r := range p["shapes"].Results {
			if r.Shape == shape {
				s.values[slices.Index(at, float64(r.Identities))] = r.step(apply).CPU.Seconds()
			}
		}
		all = append(all, s)
	}
	return at, all
}
