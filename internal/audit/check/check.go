// Package check compares evidence with state: what the audit events say was given, and what Terraform believes is there.
package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// Kind says what does not match.
type Kind string

// The kinds of findings, in the order in which they are reported.
const (
	// NoEvidence: state has an access that no event tells of.
	NoEvidence Kind = "access without evidence"
	// NoAccess: by the evidence there should be an access, and no state has it.
	NoAccess Kind = "evidence without access"
	// NoOutcome: a change was announced, and no event says what came of it. The run was killed, or its report is lost.
	NoOutcome Kind = "intent without outcome"
	// Waiting: the evidence stands in state only, because a sink has not taken it.
	Waiting Kind = "evidence not delivered"
)

// Finding is something that does not match.
type Finding struct {
	Kind   Kind
	Detail string
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s", f.Kind, f.Detail) }

// account is an account on a system. The system is told by its target, not by the name of its platform, which the
// configuration may change.
type account struct{ target, name string }

func (a account) String() string { return fmt.Sprintf("account %q on %s", a.name, a.target) }

// place is a path in a secret store.
type place struct{ target, path string }

func (p place) String() string { return fmt.Sprintf("secret at %q on %s", p.path, p.target) }

// access is what is there of one account, by one source.
type access struct {
	there, suspended bool
	entitlements     set
	credentials      set // labels, or ids where there are none
}

type set map[string]bool

func (s set) add(texts ...string) {
	for _, text := range texts {
		s[text] = true
	}
}

func (s set) remove(texts ...string) {
	for _, text := range texts {
		delete(s, text)
	}
}

// view is what one source says.
type view struct {
	accounts map[account]*access
	places   map[place]bool
}

func newView() *view { return &view{accounts: make(map[account]*access), places: make(map[place]bool)} }

func (v *view) at(a account) *access {
	if v.accounts[a] == nil {
		v.accounts[a] = &access{entitlements: make(set), credentials: make(set)}
	}
	return v.accounts[a]
}

// evidence is what the events say.
type evidence struct {
	// given is what was given by changes that succeeded, and not taken away by any that may have succeeded. told is more: what was
	// seen to be there besides, and what was given by changes of which nobody knows what came.
	given, told *view
	unfinished  []audit.Event
}

// Run compares events, in any order and with repetitions, with what states record.
func Run(events []audit.Event, states []State) []Finding {
	var all []audit.Event
	var findings []Finding
	recorded := newView()
	for _, state := range states {
		state.addTo(recorded)
		for _, w := range state.waiting {
			all = append(all, w.Event)
			findings = append(findings, Finding{Waiting, fmt.Sprintf("%s waits for the sink %q", describe(w.Event), w.Sink)})
		}
	}
	seen := replay(append(all, events...))
	findings = append(findings, seen.compare(recorded)...)
	order := []Kind{NoEvidence, NoAccess, NoOutcome, Waiting}
	slices.SortFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), strings.Compare(a.Detail, b.Detail))
	})
	return findings
}

func describe(e audit.Event) string {
	what := fmt.Sprintf("%s of %s", strings.ReplaceAll(string(e.Activity), "_", " "), accountOf(e))
	if e.Path != "" {
		what = fmt.Sprintf("%s of %s", strings.ReplaceAll(string(e.Activity), "_", " "), placeOf(e))
	}
	return fmt.Sprintf("%s, event %s of %s", what, e.ID, e.Time.UTC().Format("2006-01-02T15:04:05Z"))
}

func accountOf(e audit.Event) account { return account{e.Platform.Target, e.Account.Name} }

func placeOf(e audit.Event) place { return place{e.Platform.Target, e.Path} }

// replay follows the events in the order in which they happened. Their ids sort by time, within one millisecond too.
func replay(events []audit.Event) evidence {
	slices.SortFunc(events, func(a, b audit.Event) int {
		return cmp.Or(a.Time.Truncate(1e6).Compare(b.Time.Truncate(1e6)), strings.Compare(a.ID, b.ID))
	})
	outcomes := make(map[string]audit.Outcome)
	for _, e := range events {
		if e.Outcome != audit.Intended {
			outcomes[e.Change] = e.Outcome
		}
	}
	out := evidence{given: newView(), told: newView()}
	done := make(map[string]bool)
	for _, e := range events {
		if done[e.ID] {
			continue
		}
		done[e.ID] = true
		switch {
		case e.Outcome == audit.Succeeded:
			apply(out.given, e)
			apply(out.told, e)
			out.told.at(accountOf(e)).entitlements.add(e.After...)
		case e.Outcome == audit.Unknown:
			out.perhaps(e)
		case e.Outcome == audit.Intended && outcomes[e.Change] == "":
			out.unfinished = append(out.unfinished, e)
			out.perhaps(e)
		}
	}
	return out
}

// perhaps follows a change that may have been made.
func (e *evidence) perhaps(of audit.Event) {
	if gives(of.Activity) {
		apply(e.told, of)
	} else {
		apply(e.given, of)
	}
}

// gives reports whether an activity adds access.
func gives(a audit.Activity) bool {
	return slices.Contains([]audit.Activity{
		audit.CreateAccount, audit.UpdateAccount, audit.ResumeAccount, audit.Grant, audit.IssueCredential, audit.StoreSecret,
	}, a)
}

// apply brings a view up to date.
func apply(v *view, e audit.Event) {
	if e.RegistryOf != "" {
		return // what a platform notes of an account is no access, and the account has events of its own
	}
	switch e.Activity {
	case audit.StoreSecret:
		v.places[placeOf(e)] = true
		return
	case audit.RemoveSecret:
		delete(v.places, placeOf(e))
		return
	default:
	}
	a := v.at(accountOf(e))
	switch e.Activity {
	case audit.CreateAccount, audit.UpdateAccount:
		a.there = true
	case audit.DeleteAccount:
		*a = access{entitlements: make(set), credentials: make(set)}
	case audit.SuspendAccount:
		a.suspended = true
	case audit.ResumeAccount:
		a.suspended = false
	case audit.Grant:
		a.entitlements.add(without(e.After, e.Before)...)
	case audit.Revoke:
		a.entitlements.remove(without(e.Before, e.After)...)
	case audit.IssueCredential:
		a.credentials.add(e.Credential)
	case audit.RevokeCredential:
		a.credentials.remove(e.Credential)
	default: // sessions and short-lived tokens are in no state
	}
}

func without(list, gone []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(text string) bool { return slices.Contains(gone, text) })
}

// compare returns what does not match what states record.
func (e evidence) compare(recorded *view) []Finding {
	var out []Finding
	add := func(kind Kind, format string, args ...any) {
		out = append(out, Finding{kind, fmt.Sprintf(format, args...)})
	}
	for key, now := range recorded.accounts {
		told := e.told.at(key)
		if now.there && !told.there {
			add(NoEvidence, "%s", key)
		}
		for text := range now.entitlements {
			if !told.entitlements[text] {
				add(NoEvidence, "%s of %s", text, key)
			}
		}
		for label := range now.credentials {
			if !told.credentials[label] {
				add(NoEvidence, "credential %s of %s", label, key)
			}
		}
	}
	for key := range recorded.places {
		if !e.told.places[key] {
			add(NoEvidence, "%s", key)
		}
	}
	for key, given := range e.given.accounts {
		now := recorded.at(key)
		if given.there && !given.suspended && !now.there {
			add(NoAccess, "%s", key)
		}
		if given.suspended && !now.there {
			continue // kept by on_destroy = "suspend": what it holds gives no access
		}
		for text := range given.entitlements {
			if !now.entitlements[text] {
				add(NoAccess, "%s of %s", text, key)
			}
		}
		for label := range given.credentials {
			if !now.credentials[label] {
				add(NoAccess, "credential %s of %s", label, key)
			}
		}
	}
	for key := range e.given.places {
		if !recorded.places[key] {
			add(NoAccess, "%s", key)
		}
	}
	for _, event := range e.unfinished {
		add(NoOutcome, "%s", describe(event))
	}
	return out
}
