package acctest

import (
	"strings"
	"testing"
)

// A sink that is down, or loses its acknowledgements, or does not answer, holds up nothing: neither what is given nor
// what is taken away. What it did not take waits in state, is shown by the next plan, and goes out as soon as it can.
func TestSinkFails(t *testing.T) {
	if !onlyOnce() {
		return
	}
	for _, mode := range []string{"down", "lost", "hang", "after 3"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newAudited(t, twoSandboxes(t), "")
			c := w.c
			w.sink(mode)
			w.ApplyOnly().Has(t, "Audit events wait")
			for _, s := range c.sites {
				s.holds(c.identity, s.texts(0, 1)...)
			}
			waiting := w.undelivered()
			w.Plan(exitChanges).Has(t, "for sink \\\"file\\\"") // in pending, quoted by the CLI
			w.Plan(exitChanges, "-refresh=false")
			if waiting == 0 || w.undelivered() != waiting {
				t.Errorf("%d events wait, and after a plan %d", waiting, w.undelivered())
			}
			w.sink("up")
			w.Apply()
			w.complete(false)
			if n := w.undelivered(); n > 0 {
				t.Errorf("%d events still wait", n)
			}

			// The whole offboarding, with a sink that fails again.
			w.sink(mode)
			w.DestroyFails().Has(t, "All access of identity \"agent\" is gone", "retired_sinks")
			for _, s := range c.sites {
				s.gone(c.identity)
			}
			if left := w.State().Resources; len(left) != 1 || left[0].Type != "nhi_identity" {
				t.Errorf("in state: %+v", left)
			}
			w.sink("up")
			w.Destroy()
			w.complete(false)
		})
	}
}

// A grant that names its identity by a text is deleted at the same time as that. No evidence is lost between the two.
func TestGrantBesideItsIdentityKeepsItsEvidence(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	c := twoSandboxes(t)
	c.noGrant = true
	w := newAudited(t, c, "")
	w.ApplyOnly()
	c = w.c
	c.noGrant = false
	w.Configure(strings.Replace(c.hcl(), "identity = nhi_identity.this", "identity = { name = \"agent\", account_names = {} }", 1))
	w.Apply()
	w.sink("down")
	w.DestroyFails().Has(t, "Audit events wait")
	for _, s := range c.sites {
		s.gone(c.identity)
	}
	w.sink("up")
	w.Destroy()
	w.complete(false)
}

// A grant that goes alone, while its sink is down, stays in state until its evidence is out. Nothing else would keep it.
func TestGrantAloneKeepsItsEvidence(t *testing.T) {
	t.Parallel()
	w := newAudited(t, twoSandboxes(t), "")
	c := w.c
	w.Apply()
	c.noGrant = true
	w.Configure(c.hcl())
	w.sink("down")
	w.ApplyFails().Has(t, "All access of the grant of \"agent\" is gone")
	for _, s := range c.sites {
		s.holds(c.identity)
	}
	w.DestroyFails("-target=nhi_grant.this").Has(t, "for sink \"file\"")
	w.sink("up")
	w.Apply()
	w.complete(false)
	if n := w.undelivered(); n > 0 {
		t.Errorf("%d events still wait", n)
	}
}

// A creation that failed and was taken back stays in state while its evidence waits, and the next apply goes on.
func TestFailedCreationKeepsItsEvidence(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	w := newAudited(t, twoSandboxes(t), "")
	c := w.c
	c.noGrant = true
	w.Configure(c.hcl())
	w.ApplyOnly()
	c.noGrant = false
	w.Configure(c.hcl())
	w.must(0, "plan", "-no-color", "-input=false", "-out=plan")
	c.sites[1].deleteByHand(c.identity)
	w.sink("down")
	w.must(exitError, "apply", "-no-color", "-input=false", "plan").Has(t, "Unable to create the grant", "Audit events wait")
	c.sites[0].holds(c.identity)
	if n := w.undelivered(); n != 2 { // granted, and taken back
		t.Errorf("%d events wait", n)
	}
	w.sink("up")
	w.Apply()
	w.complete(false)
	if n := w.undelivered(); n > 0 {
		t.Errorf("%d events still wait", n)
	}
}

// With required, a sink that takes nothing keeps every platform untouched, for whatever is planned.
func TestRequiredEvidence(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	w := newAudited(t, twoSandboxes(t), "    required = true\n")
	c := w.c
	w.sink("down")
	w.ApplyFails().Has(t, `the audit sink "file" did not acknowledge`, "nothing was changed")
	w.sink("up")
	w.Apply()
	before := w.lines("changes")
	w.sink("down")
	for _, change := range []config{{holds: []int{2}}, {holds: []int{0, 1}, extra: "  enabled = false"}} {
		next := c
		next.holds, next.extra = change.holds, change.extra
		w.Configure(next.hcl())
		w.ApplyFails().Has(t, `the audit sink "file" did not acknowledge`)
	}
	w.DestroyFails().Has(t, `the audit sink "file" did not acknowledge`)
	if now := w.lines("changes"); len(now) != len(before) {
		t.Errorf("changed without evidence: %v", now[len(before):])
	}
	for _, s := range c.sites {
		s.holds(c.identity, s.texts(0, 1)...)
	}
	w.sink("up")
	w.Destroy()
	w.complete(true)
}

// A sink that went away with events waiting for it: the plan says how to let them go.
func TestRetiredSink(t *testing.T) {
	if !onlyOnce() {
		return
	}
	t.Parallel()
	w := newAudited(t, twoSandboxes(t), "")
	c := w.c
	w.sink("down")
	w.ApplyOnly()
	w.sink("up")
	c.extraProvider = strings.Replace(c.extraProvider, "file {", "file {\n      name = \"other\"", 1)
	w.Configure(c.hcl())
	w.Plan(exitChanges).Has(t, "wait for a sink that is not configured", "retired_sinks")
	c.extraProvider += "  retired_sinks = [\"file\"]\n"
	w.Configure(c.hcl())
	w.Apply()
	if n := w.undelivered(); n > 0 {
		t.Errorf("%d events still wait", n)
	}
	w.Destroy()
}
