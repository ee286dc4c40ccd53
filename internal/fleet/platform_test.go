package fleet

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/reconcile"
)

func TestTargetIsPinned(t *testing.T) {
	d := bare{newScript()}
	p, _ := newTestPlatform(d, func(c *Config) { c.PreviousTargets = []string{"t-0"} })
	for recorded, right := range map[string]bool{"": true, "t-1": true, "t-0": true, "t-2": false} {
		conn, err := p.connect(t.Context(), recorded)
		var wrong *WrongTargetError
		switch {
		case right && (err != nil || conn.Target().ID != "t-1" || conn.Platform() != p):
			t.Errorf("recorded %q: %v", recorded, err)
		case !right && (!errors.As(err, &wrong) || *wrong != WrongTargetError{"crm", "t-2", "t-1"} || conn != nil):
			t.Errorf("recorded %q: %v", recorded, err)
		case !right && !strings.Contains(err.Error(), "previous_targets"):
			t.Errorf("error %v does not say what to do", err)
		}
	}
	if d.count("probe") != 1 || d.count("read") != 0 {
		t.Errorf("%d probes, %d reads", d.count("probe"), d.count("read"))
	}
}

// TestStoreIsPinned: secrets are pinned to one of the system's stores.
func TestStoreIsPinned(t *testing.T) {
	d := bare{newScript()}
	d.target = driver.Target{ID: "t-1", Store: "eu"}
	p, _ := newTestPlatform(d, func(c *Config) { c.PreviousTargets = []string{"t-1/old"} })
	f := &Fleet{platforms: map[string]*Platform{"crm": p}}
	for store, right := range map[string]bool{"": true, "t-1/eu": true, "t-1/old": true, "t-1/us": false, "t-1": false} {
		conn, err := f.ConnectStore(t.Context(), "crm", "t-1", store)
		var wrong *WrongTargetError
		if right != (err == nil && conn != nil) || err != nil && (!errors.As(err, &wrong) || *wrong != WrongTargetError{"crm", store, "t-1/eu"}) {
			t.Errorf("recorded %q: %v", store, err)
		}
	}
	if _, err := f.ConnectStore(t.Context(), "crm", "t-2", "t-1/eu"); err == nil {
		t.Error("another system is taken for the right one")
	}
}

func TestProbeIsTriedAgain(t *testing.T) {
	d := bare{newScript()}
	opened := 0
	p, _ := newTestPlatform(nil, func(c *Config) {
		c.Open = func() (driver.Driver, error) {
			if opened++; opened == 1 {
				return nil, errors.New("no such file")
			}
			return d, nil
		}
	})
	if _, err := p.connect(t.Context(), ""); err == nil || !strings.Contains(err.Error(), `platform "crm": no such file`) {
		t.Errorf("open: %v", err)
	}
	d.on = func(context.Context, string, int) error { return driver.Errorf(driver.Unauthenticated, "refused") }
	_, err := p.connect(t.Context(), "")
	wantCode(t, err, driver.Unauthenticated)
	d.on = nil
	d.target = driver.Target{}
	if _, err := p.connect(t.Context(), ""); err == nil {
		t.Error("a system without an id is accepted")
	}
	d.target = driver.Target{ID: "t-1"}
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := p.connect(t.Context(), "t-1"); err != nil {
				t.Errorf("connect: %v", err)
			}
		})
	}
	wg.Wait()
	if d.count("probe") != 3 || opened != 2 {
		t.Errorf("%d probes, opened %d times", d.count("probe"), opened)
	}
}

func TestNotConfigured(t *testing.T) {
	f := New("stack", nil, []Config{{Name: "crm"}})
	p, err := f.Platform("crm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.connect(t.Context(), ""); !errors.Is(err, ErrNotConfigured) || !strings.Contains(err.Error(), `"crm"`) {
		t.Errorf("error %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestFleet(t *testing.T) {
	f := New("payments", []string{"old-crm"}, []Config{{Name: "warehouse"}, {Name: "sap"}})
	if diff := cmp.Diff([]string{"sap", "warehouse"}, f.Names()); diff != "" || f.Stack() != "payments" {
		t.Errorf("stack %q, names (-want +got):\n%s", f.Stack(), diff)
	}
	if !f.Retired("old-crm") || f.Retired("sap") {
		t.Error("retired platforms")
	}
	for name, want := range map[string]string{
		"sap": "", "warehose": `did you mean "warehouse"? (configured are: sap, warehouse)`, "x": "(configured are: sap, warehouse)",
		"old-crm": "is listed in retired_platforms",
	} {
		p, err := f.Platform(name)
		if (err == nil) != (want == "") || err == nil && p.Name() != name || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if _, err := New("s", nil, nil).Platform("x"); err == nil || !strings.Contains(err.Error(), "none is configured") {
		t.Errorf("error %v", err)
	}
}

func TestClose(t *testing.T) {
	first, second := bare{newScript()}, bare{newScript()}
	configs := []Config{
		{Name: "a", Open: func() (driver.Driver, error) { return first, nil }},
		{Name: "b", Open: func() (driver.Driver, error) { return second, nil }},
		{Name: "c", Open: func() (driver.Driver, error) { return nil, errors.New("never opened") }},
	}
	f := New("s", nil, configs)
	for _, name := range []string{"a", "b"} {
		p, err := f.Platform(name)
		if err != nil {
			t.Fatal(err)
		}
		connect(t, p)
	}
	first.on = func(context.Context, string, int) error { return errors.New("stuck") }
	if err := f.Close(); err == nil || !strings.Contains(err.Error(), `platform "a"`) || first.closed != 1 || second.closed != 1 {
		t.Errorf("error %v, closed %d and %d times", err, first.closed, second.closed)
	}
}

func TestAbilities(t *testing.T) {
	p, _ := newTestPlatform(nil, func(c *Config) {
		c.Spec = driver.Spec{Kind: "x", NativeExpiry: true, Capabilities: []driver.Capability{driver.CanSuspend, driver.CanIssue}}
	})
	if got := p.Abilities(); got != (reconcile.Abilities{Suspend: true, Issue: true, NativeExpiry: true}) || p.Spec().Kind != "x" {
		t.Errorf("abilities %+v", got)
	}
}

// TestMissingCapabilities asks a driver without capabilities for each of them.
func TestMissingCapabilities(t *testing.T) {
	p, _ := newTestPlatform(bare{newScript()}, nil)
	conn := connect(t, p)
	for _, kind := range []reconcile.StepKind{
		reconcile.StepSuspend, reconcile.StepResume, reconcile.StepEndSessions, reconcile.StepRevokeCredential, "dance",
	} {
		err := do(kind)(t.Context(), conn)
		wantCode(t, err, driver.Unsupported)
		if !strings.Contains(err.Error(), `platform "crm" cannot `+string(kind)) {
			t.Errorf("error %v", err)
		}
	}
	_, err := conn.FindMarked(t.Context(), nhi.Mark{Stack: "s", Identity: "i"})
	wantCode(t, err, driver.Unsupported)
}
