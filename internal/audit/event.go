// Package audit holds the evidence of what was changed: one Event for each change of each account on each platform, its
// encodings, and the sinks that take it. It knows neither Terraform nor any platform.
//
// A change is announced before it is made (an event with the outcome Intended) and reported after it (Succeeded, Failed or
// Unknown). So a change whose report was lost, because the process was killed, is still in evidence.
package audit

import "time"

// Activity names what was done.
type Activity string

// The activities.
const (
	CreateAccount    Activity = "create_account"
	UpdateAccount    Activity = "update_account"
	DeleteAccount    Activity = "delete_account"
	SuspendAccount   Activity = "suspend_account"
	ResumeAccount    Activity = "resume_account"
	EndSessions      Activity = "end_sessions"
	Grant            Activity = "grant"
	Revoke           Activity = "revoke"
	IssueCredential  Activity = "issue_credential"
	RevokeCredential Activity = "revoke_credential"
	StoreSecret      Activity = "store_secret"
	RemoveSecret     Activity = "remove_secret"
	MintToken        Activity = "mint_token"
	RevokeToken      Activity = "revoke_token"
)

// Activities lists every activity, in the order of the documentation. Filters and docs derive from it.
func Activities() []Activity {
	return []Activity{
		CreateAccount, UpdateAccount, DeleteAccount, SuspendAccount, ResumeAccount, EndSessions, Grant, Revoke,
		IssueCredential, RevokeCredential, StoreSecret, RemoveSecret, MintToken, RevokeToken,
	}
}

// Outcome says what came of a change.
type Outcome string

// The outcomes.
const (
	// Intended: the change is about to be made. If no later event has the same Change, what came of it is not known.
	Intended Outcome = "intended"
	// Succeeded: the platform accepted the change.
	Succeeded Outcome = "succeeded"
	// Failed: the platform refused the change (Error tells).
	Failed Outcome = "failed"
	// Unknown: the platform did not say whether the change was made (Error tells). Where a filter chooses Failed, it chooses
	// this, too.
	Unknown Outcome = "unknown"
)

// Event is one step of one change. None of its texts is secret. It is also what waits as JSON in state until it is
// delivered, so fields may be added and never change their meaning.
type Event struct {
	// ID is unique to the event and the same each time it is delivered.
	ID string `json:"id"`
	// Change joins the events of one change: what was intended and what came of it.
	Change string `json:"change"`
	// Correlation joins the changes of one operation on one resource, on all platforms.
	Correlation string    `json:"correlation"`
	Time        time.Time `json:"time"`
	Activity    Activity  `json:"activity"`
	Outcome     Outcome   `json:"outcome"`
	// Error is what the platform said of a change that failed, or why nobody knows what came of it.
	Error string `json:"error,omitempty"`

	Actor    Actor    `json:"actor"`
	Stack    string   `json:"stack"`
	Identity Identity `json:"identity"`
	Account  Account  `json:"account"`
	Platform Platform `json:"platform"`

	// Before and After are what the account holds, in canonical text, for Grant and Revoke. After is what the change
	// aims at until the outcome is Succeeded.
	Before []string `json:"before,omitempty"`
	After  []string `json:"after,omitempty"`
	// Credential is the label or id of a credential, Path the place of a secret, for the activities about them.
	Credential string `json:"credential,omitempty"`
	Path       string `json:"path,omitempty"`
	// RegistryOf is the name of the platform that keeps at Path what it has to know of one of its accounts, the one that Path ends
	// with; "" if the secret there is one that was delivered.
	RegistryOf    string `json:"registry_of,omitempty"`
	Justification string `json:"justification,omitempty"`
	// Resource is the type of the resource that was applied: "nhi_grant".
	Resource string `json:"resource,omitempty"`
	// Version is the provider's.
	Version string `json:"version"`
}

// Actor is who ran Terraform.
type Actor struct {
	// Name is the user of the CI system, or of the operating system.
	Name string `json:"name"`
	// System is the CI system ("github_actions"), "" if it was none.
	System string `json:"system,omitempty"`
	// RunURL is where the run can be looked at, "" if that is not known.
	RunURL string `json:"run_url,omitempty"`
	// Host is the name of the machine.
	Host string `json:"host,omitempty"`
}

// Identity is whom the change is about. Kind and Owner are "" where only the name is known: a grant or rotation whose
// identity is declared in another workspace.
type Identity struct {
	Name  string `json:"name"`
	Kind  string `json:"kind,omitempty"`
	Owner string `json:"owner,omitempty"`
}

// Account is the presence of the identity on the platform. ID is "" until the platform has given one.
type Account struct {
	Name string `json:"name"`
	ID   string `json:"id,omitempty"`
}

// Platform is where the change was made.
type Platform struct {
	// Name is the user's name for it, Kind its kind, Target the stable id of the system behind it.
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Target string `json:"target"`
}
