package acctest

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// faultCLI runs the real CLI, which runs the real provider in a process of its own.
type faultCLI struct {
	*audited
	bed   *faultBed
	clock time.Duration
}

// newFaultCLI makes a bed whose provider asks the bed's name server.
func newFaultCLI(t *testing.T) *faultBed {
	t.Helper()
	b := newFaultBed(t, true)
	server := testenv.Load(t)
	block := fmt.Sprintf("postgresql {\n  name = %q\n  host = %q\n  port = %d\n  database = %q\n  username = %q\n  sslrootcert = %q\n  timeout = %q\n}\n",
		b.issuer.name, b.admin.link.host, b.admin.link.port(), server.PostgreSQL.Database, b.admin.name, b.ways.own.file, faultTimeoutPostgreSQL)
	b.issuer.block = func() string { return block }
	b.issuer.env = []string{"NHI_WAREHOUSE_PASSWORD=" + b.admin.password}
	for _, s := range b.c.sites {
		for _, backend := range []string{server.Vault.Address, server.SCIM.URL} {
			if url := b.urls[s.name]; url != "" {
				s.reroute(backend, url, b.ways.own.file)
			}
		}
	}
	r := &faultCLI{audited: newAudited(t, b.c, ""), bed: b}
	r.Setenv("NHI_ACC_DNS", b.ways.names.addr)
	r.Setenv("NO_PROXY", ".test")
	r.disk(0)
	r.Setenv("NHI_ACC_FILE_SIZE", r.path("size"))
	b.runner = r
	return b
}

// reroute makes the provider reach a platform at another URL, where a certificate of the authority in caFile answers.
func (s *site) reroute(from, to, caFile string) {
	block := s.block()
	if !strings.Contains(block, strconv.Quote(from)) {
		return
	}
	block = strings.Replace(block, strconv.Quote(from), strconv.Quote(to), 1)
	block = strings.Replace(block, "{\n", fmt.Sprintf("{\n  ca_cert_file = %q\n  timeout = %q\n", caFile, faultTimeout), 1)
	s.block = func() string { return block }
}

func (r *faultCLI) begin(step faultStep) {
	if step.later > 0 {
		r.clock += step.later
		r.killAfter(0, r.clock)
	}
	c := r.bed.config(step)
	c.extraProvider = r.c.extraProvider
	hcl := c.hcl()
	if !step.bare {
		hcl += r.bed.rotation(c).rotation(r.bed.issuer)
	}
	if step.imports {
		for _, address := range []string{"nhi_identity.this", "nhi_grant.this"} {
			hcl += fmt.Sprintf("import {\n  to = %s\n  id = %q\n}\n", address, c.identity)
		}
	}
	r.Configure(hcl)
	for _, name := range []string{"events.jsonl", "changes"} {
		_ = os.Remove(r.path(name))
	}
}

// run is one command of the CLI for the step.
func (r *faultCLI) run(step faultStep, verb string, extra ...string) faultRun {
	r.t.Helper()
	args := append([]string{verb, "-no-color", "-input=false"}, extra...)
	if step.destroy && !slices.Contains(extra, "saved") {
		args = append(args, "-destroy")
	}
	result := r.Run(args...)
	return faultRun{
		failed: result.Exit != exitEmpty && (verb != "plan" || result.Exit != exitChanges), empty: result.Exit == exitEmpty, output: result.Output,
	}
}

func (r *faultCLI) plan(step faultStep) faultRun {
	return r.run(step, "plan", "-detailed-exitcode", "-out=saved")
}
func (r *faultCLI) apply(step faultStep) faultRun { return r.run(step, "apply", "saved") }
func (r *faultCLI) again(step faultStep) faultRun { return r.run(step, "apply", "-auto-approve") }

func (r *faultCLI) reading() (planReading, error) {
	shown := r.Run("show", "-json", "saved")
	if shown.Exit != 0 {
		return planReading{}, fmt.Errorf("show: %s", shown.Output)
	}
	return readingOf([]byte(shown.Output))
}

func (r *faultCLI) state() State            { return r.State() }
func (r *faultCLI) rotation() rotationState { return r.rotationState(r.bed.issuer.name) }
func (r *faultCLI) unevidenced() []string   { return untold(r.events(), r.lines("changes")) }
func (r *faultCLI) disk(bytes int)          { r.write("size", strconv.Itoa(bytes)) }

func (r *faultCLI) forget() {
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup", ".terraform.tfstate.lock.info"} {
		_ = os.Remove(r.path(name))
	}
}
