package reconcile

import (
	"fmt"
	"slices"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Abilities says what a platform can do, as far as the order of steps depends on it.
type Abilities struct {
	Suspend      bool
	EndSessions  bool
	Issue        bool
	NativeExpiry bool
}

// Desired is what an account should be. Entitlements are not part of it: grants decide about them.
type Desired struct {
	Mark      nhi.Mark
	Suspended bool
	Settings  map[string]string // only those that are declared; others are left as they are
	ExpiresAt time.Time
}

// StepKind names what a step does to one account.
type StepKind string

// The steps, in the order in which they may follow each other.
const (
	StepUpdate           StepKind = "update"
	StepResume           StepKind = "resume"
	StepSuspend          StepKind = "suspend"
	StepEndSessions      StepKind = "end sessions"
	StepRevokeCredential StepKind = "revoke credential"
	StepGrant            StepKind = "grant"
	StepRevoke           StepKind = "revoke"
	StepDelete           StepKind = "delete"
)

// Step is one change of one account on one platform. Only the fields of its kind are set.
type Step struct {
	Kind         StepKind
	Mark         *nhi.Mark         // StepUpdate
	Settings     map[string]string // StepUpdate
	ExpiresAt    *time.Time        // StepUpdate
	Credential   string            // StepRevokeCredential: its id
	Entitlements []nhi.Entitlement // StepGrant, StepRevoke
}

// Account returns the steps that turn an existing account into the desired one. An account is switched off before anything
// else about it changes, and switched on after everything else has changed. The sessions of one that is to be suspended are
// ended in any case: the run that suspended it may have failed just then, and no platform shows that.
func Account(desired Desired, observed nhi.Account, can Abilities) []Step {
	var steps []Step
	if can.Suspend && desired.Suspended && observed.Status == nhi.Active {
		steps = append(steps, Step{Kind: StepSuspend})
	}
	if can.Suspend && desired.Suspended && can.EndSessions {
		steps = append(steps, Step{Kind: StepEndSessions})
	}
	if update, needed := accountUpdate(desired, observed, can); needed {
		steps = append(steps, update)
	}
	if can.Suspend && !desired.Suspended && observed.Status == nhi.Suspended {
		steps = append(steps, Step{Kind: StepResume})
	}
	return steps
}

// Unfinished is Account without what reading back cannot show, none if the account is the desired one.
func Unfinished(desired Desired, observed nhi.Account, can Abilities) []Step {
	return slices.DeleteFunc(Account(desired, observed, can), func(s Step) bool { return s.Kind == StepEndSessions })
}

func accountUpdate(desired Desired, observed nhi.Account, can Abilities) (Step, bool) {
	step := Step{Kind: StepUpdate}
	needed := false
	if observed.Mark != desired.Mark {
		mark := desired.Mark
		step.Mark, needed = &mark, true
	}
	for name, want := range desired.Settings {
		if observed.Settings[name] == want {
			continue
		}
		if step.Settings == nil {
			step.Settings = make(map[string]string)
		}
		step.Settings[name], needed = want, true
	}
	if can.NativeExpiry && !observed.ExpiresAt.Equal(desired.ExpiresAt) {
		at := desired.ExpiresAt
		step.ExpiresAt, needed = &at, true
	}
	return step, needed
}

// Deprovision returns the steps that take an account away: off before gone. If only suspend is asked for, the account
// and its entitlements stay, and every way in is closed.
func Deprovision(observed nhi.Account, can Abilities, suspendOnly bool) []Step {
	var steps []Step
	if can.Suspend && observed.Status == nhi.Active {
		steps = append(steps, Step{Kind: StepSuspend})
	}
	if can.EndSessions {
		steps = append(steps, Step{Kind: StepEndSessions})
	}
	if can.Issue {
		for _, credential := range observed.Credentials {
			steps = append(steps, Step{Kind: StepRevokeCredential, Credential: credential.ID})
		}
	}
	if suspendOnly {
		return steps
	}
	if len(observed.Entitlements) > 0 {
		steps = append(steps, Step{Kind: StepRevoke, Entitlements: observed.Entitlements})
	}
	return append(steps, Step{Kind: StepDelete})
}

// Known is what state says of an account before it is observed.
type Known struct {
	// Marked is false for accounts that were imported and not yet written to: that they carry no mark is no drift.
	Marked bool
	Status nhi.Status
	// Pending are the sentences of the resource, all platforms together.
	Pending []string
}

// Failed is the sentence for a platform on which an update has failed.
func Failed(platform string) string { return platform + ": the last apply failed here" }

// Pending says in words what Account would do beyond what the recorded status already shows: one sentence per
// difference, sorted.
func Pending(platform string, desired Desired, observed nhi.Account, can Abilities, known Known) []string {
	var out []string
	if desired.Suspended && observed.Status == nhi.Suspended && can.Suspend && can.EndSessions {
		// Somebody else has suspended it, or a run that did not come to its end.
		words := fmt.Sprintf("%s: account %q is suspended, but its sessions may not have ended", platform, observed.Name)
		if known.Status == nhi.Active || slices.Contains(known.Pending, Failed(platform)) || slices.Contains(known.Pending, words) {
			out = append(out, words)
		}
	}
	if observed.Mark.IsZero() && known.Marked {
		out = append(out, fmt.Sprintf("%s: the ownership mark of account %q is missing", platform, observed.Name))
	}
	if can.NativeExpiry && !observed.ExpiresAt.Equal(desired.ExpiresAt) {
		out = append(out, fmt.Sprintf("%s: account %q expires on the platform %s, not %s",
			platform, observed.Name, expiryText(observed.ExpiresAt), expiryText(desired.ExpiresAt)))
	}
	return slices.Sorted(slices.Values(out))
}

func expiryText(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.UTC().Format(time.RFC3339)
}
