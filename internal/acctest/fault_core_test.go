package acctest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// The resources of a life.
const (
	theIdentity = "nhi_identity.this"
	theGrant    = "nhi_grant.this"
	theRotation = "nhi_rotation.warehouse"
)

// faultCore runs the provider in the test's process, each command with a server that knows nothing yet, through the plugin
// protocol as Terraform's core does. Everything below the protocol is as in faultCLI, but for names and disks.
type faultCore struct {
	bed    *faultBed
	core   *core.Core
	clock  time.Duration
	config core.Config
	kept   *core.Plan
	now    core.State
	file   string // of events

	mu      sync.Mutex
	changes []string
}

func newFaultCore(t *testing.T) *faultBed {
	t.Helper()
	b := newFaultBed(t, false)
	r := &faultCore{bed: b, now: core.State{}, file: filepath.Join(t.TempDir(), "events.jsonl")}
	served := providerserver.NewProtocol6(provider.NewServer("test", time.Now, provider.Hooks{}).Provider())()
	var err error
	if r.core, err = core.New(t.Context(), served); err != nil {
		t.Fatal(err)
	}
	r.config.Provider = r.provider(testenv.Load(t))
	b.runner = r
	return b
}

func (r *faultCore) provider(servers testenv.Servers) core.Body {
	b, timeout := r.bed, faultTimeout.String()
	return core.Body{
		"stack": b.c.stack,
		"postgresql": []core.Body{{
			"name": b.issuer.name, "timeout": faultTimeoutPostgreSQL.String(), "host": b.admin.link.host, "port": b.admin.link.port(),
			"database": servers.PostgreSQL.Database, "username": b.admin.name, "password": b.admin.password, "sslrootcert": b.ways.own.file,
		}},
		"vault": []core.Body{{
			"name": "secrets", "timeout": timeout, "address": b.urls["secrets"], "token": servers.Vault.Token, "ca_cert_file": b.ways.own.file,
		}},
		"scim": []core.Body{{
			"name": "sap", "timeout": timeout, "url": b.urls["sap"], "token": servers.SCIM.Token, "ca_cert_file": b.ways.own.file,
		}},
		"sandbox": []core.Body{{"name": "vaultlet", "path": b.stores[1].path}},
		"audit":   core.Body{"file": []core.Body{{"path": r.file}}},
	}
}

func (r *faultCore) begin(step faultStep) {
	r.clock += step.later
	accounts, held := []core.Body{}, make(map[string][]string)
	for _, s := range r.bed.c.sites {
		accounts = append(accounts, core.Body{"platform": s.name})
		held[s.name] = s.texts(step.holds...)
	}
	r.config.Resources = map[string]core.Resource{
		theIdentity: {Type: "nhi_identity", Body: core.Body{
			"name": r.bed.c.identity, "kind": "ai_agent", "owner": "team@example.com", "enabled": !step.suspended, "account": accounts,
		}},
		theGrant: {Type: "nhi_grant", Body: core.Body{"identity": core.Ref(theIdentity), "entitlements": held}},
	}
	if !step.bare {
		var deliver []core.Body
		for _, store := range r.bed.stores {
			deliver = append(deliver, core.Body{"platform": store.name, "path": r.bed.rotation(r.bed.c).path(r.bed.issuer)})
		}
		r.config.Resources[theRotation] = core.Resource{Type: "nhi_rotation", Body: core.Body{
			"identity": core.Ref(theIdentity), "platform": r.bed.issuer.name, "rotate_every": "24h", "overlap": "1h", "deliver": deliver,
		}}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = nil
	_ = os.Remove(r.file)
}

// process runs work with a provider of its own.
func (r *faultCore) process(work func(*core.Process) faultRun) faultRun {
	server := provider.NewServer("test", func() time.Time { return time.Now().Add(r.clock) }, provider.Hooks{Change: func(c audit.Change) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changes = append(r.changes, happening(c.Activity, c.Platform, c.Account, c.Path))
	}})
	p, report := r.core.Start(context.Background(), providerserver.NewProtocol6(server.Provider())(), r.config.Provider)
	if report.Failed() {
		return runOf(report)
	}
	run := work(p)
	if err := server.Close(); err != nil && strings.Contains(err.Error(), "not delivered") {
		run.broken = append(run.broken, err.Error())
	}
	return run
}

func runOf(report *core.Report) faultRun {
	return faultRun{failed: report.Failed(), broken: report.Violations, output: strings.Join(slices.Concat(report.Errors, report.Warnings), "\n")}
}

func (r *faultCore) plan(step faultStep) faultRun {
	r.kept = nil
	return r.process(func(p *core.Process) faultRun {
		state := maps.Clone(r.now)
		for _, address := range []string{theIdentity, theGrant} {
			if !step.imports || state[address] != nil {
				continue
			}
			object, report := p.Import(context.Background(), address, r.config.Resources[address].Type, r.bed.c.identity)
			if report.Failed() {
				return runOf(report)
			}
			state[address] = object
		}
		r.kept = p.Plan(context.Background(), r.config, state, core.PlanOptions{Destroy: step.destroy})
		run := runOf(&r.kept.Report)
		run.empty = r.kept.Empty()
		return run
	})
}

func (r *faultCore) apply(faultStep) faultRun {
	return r.process(func(p *core.Process) faultRun {
		state, report := p.Apply(context.Background(), r.kept, nil)
		r.now = state
		return runOf(report)
	})
}

func (r *faultCore) again(step faultStep) faultRun {
	if planned := r.plan(step); planned.failed {
		return planned
	}
	return r.apply(step)
}

func (r *faultCore) reading() (planReading, error) {
	var out planReading
	for address := range r.now {
		if r.kept.Refreshed[address] == nil {
			out.gone = append(out.gone, address)
		}
	}
	for _, c := range r.kept.Changes {
		planned := plannedResource{address: c.Address, makes: c.Action == core.Create || c.Action == core.Replace}
		if object := r.kept.Refreshed[c.Address]; object != nil {
			planned.read = &planValues{}
			if err := json.Unmarshal(object.JSON, planned.read); err != nil {
				return out, err
			}
		}
		out.resources = append(out.resources, planned)
	}
	return out, nil
}

// stateFile is the state in the form of the CLI's file.
func (r *faultCore) stateFile() []byte {
	type instance struct {
		Status     string          `json:"status,omitempty"`
		Attributes json.RawMessage `json:"attributes"`
	}
	type resource struct {
		Mode      string     `json:"mode"`
		Type      string     `json:"type"`
		Name      string     `json:"name"`
		Instances []instance `json:"instances"`
	}
	var file struct {
		Resources []resource `json:"resources"`
	}
	for _, address := range r.now.Addresses() {
		object, one := r.now[address], instance{Attributes: r.now[address].JSON}
		if object.Tainted {
			one.Status = "tainted"
		}
		_, name, _ := strings.Cut(address, ".")
		file.Resources = append(file.Resources, resource{"managed", object.Type, name, []instance{one}})
	}
	text, err := json.Marshal(file)
	if err != nil {
		r.bed.t.Fatal(err)
	}
	return text
}

func (r *faultCore) state() State {
	var state State
	if err := json.Unmarshal(r.stateFile(), &state); err != nil {
		r.bed.t.Fatal(err)
	}
	return state
}

func (r *faultCore) rotation() rotationState {
	var state rotationState
	if object := r.now[theRotation]; object != nil {
		if err := json.Unmarshal(object.JSON, &state); err != nil {
			r.bed.t.Fatal(err)
		}
	}
	return state
}

func (r *faultCore) undelivered() int {
	n := 0
	for address, object := range r.now {
		var waits struct {
			Undelivered []string `json:"undelivered"`
		}
		if err := json.Unmarshal(object.JSON, &waits); err != nil {
			r.bed.t.Fatalf("%s: %v", address, err)
		}
		n += len(waits.Undelivered)
	}
	return n
}

func (r *faultCore) events() []audit.Event {
	lines, err := linesOf(r.file)
	if err != nil {
		r.bed.t.Fatal(err)
	}
	events, err := eventsOf(lines)
	if err != nil {
		r.bed.t.Fatal(err)
	}
	return events
}

func (r *faultCore) unevidenced() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return untold(r.events(), r.changes)
}

func (r *faultCore) disk(bytes int) {
	if bytes > 0 {
		r.bed.t.Error(fmt.Errorf("the disk of the test's own process cannot be full"))
	}
}

func (r *faultCore) forget() { r.now = core.State{} }
