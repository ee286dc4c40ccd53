// Command bench compares what a plan, an apply and a destroy cost with this provider and with one of the same shape that
// does nothing.
//
//	cd tools && go run ./bench -n 100,300
//
// With -audit it compares this provider without audit events and with a sink that takes so long to answer each:
//
//	cd tools && go run ./bench -n 167 -shapes count -audit 1ms
//
// Each round runs both one after the other, so that whatever else the machine does falls on both. Compare the ratios; the
// seconds are those of the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
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
	sizes     []int
	shapes    []string
	latencies []time.Duration
	audit     time.Duration
	rounds    int
	cli       string
	out       string
	profile   string
}

func parse(args []string) (options, error) {
	var o options
	var sizes, shapes, latencies string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&sizes, "n", "100", "numbers of identities, separated by commas")
	flags.StringVar(&shapes, "shapes", "count,for_each", "shapes of the configuration: count, for_each")
	flags.StringVar(&latencies, "latency", "0", "times that a platform takes to answer, such as 0,20ms,100ms; with 0 the platforms are "+
		"sandbox files, else SCIM services")
	flags.DurationVar(&o.audit, "audit", 0, "compare the provider with and without an audit sink that takes so long to answer")
	flags.IntVar(&o.rounds, "rounds", 1, "how often each is measured; the medians are printed")
	flags.StringVar(&o.cli, "cli", "", "path of Terraform or OpenTofu; by default what is on PATH")
	flags.StringVar(&o.out, "out", "", "a file to write the table to as well")
	flags.StringVar(&o.profile, "profile", "", "a directory for the providers' CPU and heap profiles")
	if err := flags.Parse(args); err != nil {
		return o, err
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
	o.shapes = strings.Split(shapes, ",")
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
	dir, err := os.MkdirTemp("", "nhi-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	lab, err := newLab(ctx, dir, o)
	if err != nil {
		return err
	}
	report := header
	fmt.Print(header)
	for _, latency := range o.latencies {
		for _, shape := range o.shapes {
			for _, n := range o.sizes {
				rows, err := lab.compare(ctx, scene{n: n, shape: shape, latency: latency})
				if err != nil {
					return err
				}
				fmt.Print(rows.markdown())
				report += rows.markdown()
			}
		}
	}
	place := lab.place(ctx)
	fmt.Print("\n" + place)
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, []byte(report+"\n"+place), 0o600)
}
