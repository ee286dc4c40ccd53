// Package usage lets a measured provider tell what it used. The CLI that started it waits for it and so adds its CPU
// time to its own; only the provider itself can tell the two apart.
package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
)

// Environment variables of a measured provider, each the path of a directory.
const (
	// EnvReport is where each process leaves one Report.
	EnvReport = "BENCH_REPORT"
	// EnvProfile, if set, is where each process leaves a CPU and a heap profile.
	EnvProfile = "BENCH_PROFILE"
	// EnvSink is how long an audit sink takes to answer.
	EnvSink = "BENCH_SINK"
)

// Report is what one provider process used.
type Report struct {
	CPU time.Duration `json:"cpu"`
	// PeakKB is the highest resident set.
	PeakKB int64 `json:"peak_kb"`
}

// Measure calls serve, which serves a provider until it has no more calls, and leaves a report when it ends.
func Measure(serve func() error) error {
	stop, err := startProfile()
	if err != nil {
		return err
	}
	return errors.Join(serve(), stop(), leaveReport())
}

// Serve serves a provider as the framework does by itself.
func Serve(newProvider func() provider.Provider) error {
	return providerserver.Serve(context.Background(), newProvider, providerserver.ServeOpts{
		Address: "registry.terraform.io/nhi-labs/nhi",
	})
}

func startProfile() (stop func() error, err error) {
	dir := os.Getenv(EnvProfile)
	if dir == "" {
		return func() error { return nil }, nil
	}
	name := filepath.Join(dir, strconv.Itoa(os.Getpid()))
	cpu, err := os.Create(name + ".cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		heap, err := os.Create(name + ".heap")
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		runtime.GC()
		return errors.Join(pprof.WriteHeapProfile(heap), heap.Close(), cpu.Close())
	}, nil
}

func leaveReport() error {
	dir := os.Getenv(EnvReport)
	if dir == "" {
		return nil
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return err
	}
	peak, err := peakKB()
	if err != nil {
		return err
	}
	text, err := json.Marshal(Report{CPU: time.Duration(used.Utime.Nano() + used.Stime.Nano()), PeakKB: peak})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, strconv.Itoa(os.Getpid())+".json"), text, 0o600)
}

// peakKB reads the peak of this program alone; that of getrusage begins with the peak of the process that forked it.
func peakKB() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no VmHWM")
}

// Total adds up the reports in a directory and removes them. CPU is the sum, PeakKB the largest.
func Total(dir string) (Report, error) {
	var total Report
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return total, err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return total, err
		}
		var one Report
		if err := json.Unmarshal(text, &one); err != nil {
			return total, fmt.Errorf("%s: %w", name, err)
		}
		total.CPU += one.CPU
		total.PeakKB = max(total.PeakKB, one.PeakKB)
		if err := os.Remove(name); err != nil {
			return total, err
		}
	}
	return total, nil
}
