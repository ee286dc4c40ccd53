// Command bench compares what a plan, an apply and a destroy cost with this provider and with one of the same shape that
// does nothing.
//
//	cd tools && go run ./bench -n 100,300
//
// With -audit it compares this provider without audit events and with a sink that takes so long to answer each:
//
//	cd tools && go run ./bench -n 167 -shapes count -audit 1ms
//
// With -report it measures what docs/guides/scale.md is made of (make bench-report), on the servers of the testbed, keeps the
// figures in bench/report, and writes the page; -render writes the page from what is kept.
//
// Each round runs both one after the other, so that whatever else the machine does falls on both. Compare the ratios; the
// seconds are those of the machine.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	sizes       []int
	site        string
	against     string
	shapes      []string
	latencies   []time.Duration
	audit       time.Duration
	rounds      int
	parallelism int
	cli         string
	out         string
	profile     string
	// report measures sets, all if there are none, and render only writes the page anew.
	report, render bool
	sets           []string
}

func parse(args []string) (options, error) {
	var o options
	var sizes, chosen, latencies string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&sizes, "n", "100", "numbers of identities, separated by commas")
	flags.StringVar(&chosen, "shapes", "count,for_each", "shapes of the configuration: "+strings.Join(shapes(), ", "))
	flags.StringVar(&o.site, "site", "", "the platforms: files, services (SCIM), servers (of the testbed), postgresql (of the testbed); "+
		"by default files without latency and services with")
	flags.StringVar(&latencies, "latency", "0", "times that a platform takes longer to answer, such as 0,20ms,100ms")
	flags.StringVar(&o.against, "against", baseline, "the provider to compare with: noop, or on postgresql alone peer, which is "+
		"cyrilgdn/postgresql")
	flags.IntVar(&o.parallelism, "parallelism", 0, "Terraform's; 0 is its default")
	flags.DurationVar(&o.audit, "audit", 0, "compare the provider with and without an audit sink that takes so long to answer")
	flags.IntVar(&o.rounds, "rounds", 1, "how often each is measured; the medians are printed")
	flags.StringVar(&o.cli, "cli", "", "path of Terraform or OpenTofu; by default what is on PATH")
	flags.StringVar(&o.out, "out", "", "a file to write the table to as well")
	flags.StringVar(&o.profile, "profile", "", "a directory for the providers' CPU and heap profiles")
	flags.BoolVar(&o.report, "report", false, "measure what the page on scale is made of, keep the figures, and write the page; with names, "+
		"only these sets: "+strings.Join(setNames(), ", "))
	flags.BoolVar(&o.render, "render", false, "write the page from the figures that are kept")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for _, name := range flags.Args() {
		if !o.report || !slices.Contains(setNames(), name) {
			return o, fmt.Errorf("%q: there are the sets %s, for -report", name, strings.Join(setNames(), ", "))
		}
		o.sets = append(o.sets, name)
	}
	for text := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-n: %q is not a number of identities", text)
		}
		o.sizes = append(o.sizes, n)
	}
	for text := range strings.SplitSeq(latencies, ",") {
		d, err := time.ParseDuration(text)
		if err != nil {
			return o, fmt.Errorf("-latency: %w", err)
		}
		o.latencies = append(o.latencies, d)
	}
	o.shapes = strings.Split(chosen, ",")
	if o.against != baseline && (o.against != peer || o.site != onPostgreSQL) {
		return o, errors.New("-against is noop, or with -site postgresql peer")
	}
	if o.rounds < 1 {
		return o, errors.New("-rounds must be at least 1")
	}
	return o, nil
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.render {
		root, err := testenv.Root()
		if err != nil {
			return err
		}
		return render(root)
	}
	dir, err := os.MkdirTemp("", "nhi-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	lab, err := newLab(ctx, dir, o)
	if err != nil {
		return err
	}
	if o.report {
		return lab.report(ctx, o.sets)
	}
	return lab.print(ctx)
}

// print measures what the flags say and prints a table.
func (l *lab) print(ctx context.Context) error {
	if l.against == peer {
		if err := l.findPeer(ctx); err != nil {
			return err
		}
	}
	report := header
	fmt.Print(header)
	for _, latency := range l.latencies {
		for _, shape := range l.shapes {
			for _, n := range l.sizes {
				rows, err := l.compare(ctx, scene{
					n: n, shape: shape, site: cmp.Or(l.site, defaultSite(latency)), latency: latency, parallelism: l.parallelism,
				})
				if err != nil {
					return err
				}
				fmt.Print(rows.markdown())
				report += rows.markdown()
			}
		}
	}
	place := l.place(ctx)
	fmt.Print("\n" + place)
	if l.out == "" {
		return nil
	}
	return os.WriteFile(l.out, []byte(report+"\n"+place), 0o600)
}
