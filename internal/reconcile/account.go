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

// Account returns the steps that turn an existing account into the desired one, none if it is so already. An account
// is switched off before anything else about it changes, and switched on after everything else has changed.
func Account(desired Desired, observed nhi.Account, can Abilities) []Step {
	var steps []Step
	if can.Suspend && desired.Suspended && observed.Status == nhi.Active {
		steps = append(steps, Step{Kind: StepSuspend})
		if can.EndSessions {
			steps = append(steps, Step{Kind: StepEndSessions})
		}
	}
	if update, needed := accountUpdate(desired, observed, can); needed {
		steps = append(steps, update)
	}
	if can.Suspend && !desired.Suspended && observed.Status == nhi.Suspended {
		steps = append(steps, Step{Kind: StepResume})
	}
	return steps
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

// Pending says in words what Account would do beyond what the recorded status already shows: one sentence per
// difference, sorted. markKnown is false for accounts that were imported and not yet written to: that they carry no
// mark is no drift.
func Pending(platform string, desired Desired, observed nhi.Account, can Abilities, markKnown bool) []string {
	var out []string
	if observed.Mark.IsZero() && markKnown {
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
