package audit

import (
	"time"

	"github.com/google/uuid"
)

// Operation is one operation on one resource. All changes that it makes, on whichever platforms, have its correlation.
type Operation struct {
	// Correlation joins the events. NewID makes one.
	Correlation   string
	Identity      Identity
	Justification string
	// Resource is the type of the resource: "nhi_grant".
	Resource string
}

// NewOperation returns an operation with a correlation of its own.
func NewOperation(resource string, identity Identity, justification string) Operation {
	return Operation{Correlation: NewID(), Identity: identity, Justification: justification, Resource: resource}
}

// NewID returns an id that is unique, and sorts by the time at which it was made: a UUID of version 7 (RFC 9562).
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString() // only without a source of random numbers, and then this panics
	}
	return id.String()
}

// Change is one change of one account on one platform, as far as its events tell of it.
type Change struct {
	Activity Activity
	Platform Platform
	// Account.ID may be filled in while the change is made.
	Account       Account
	Before, After []string
	Credential    string
	Path          string
	RegistryOf    string
	// Unanswered is set while the change is made, if the platform did not say of some attempt whether it was.
	Unanswered bool
}

// Source is what all events of one run have in common.
type Source struct {
	Actor   Actor
	Stack   string
	Version string
}

// event is one step of a change.
func (s Source) event(op Operation, c Change, id string, outcome Outcome, failure error, now time.Time) Event {
	e := Event{
		ID: NewID(), Change: id, Correlation: op.Correlation, Time: now.UTC(), Activity: c.Activity, Outcome: outcome,
		Actor: s.Actor, Stack: s.Stack, Identity: op.Identity, Account: c.Account, Platform: c.Platform,
		Before: c.Before, After: c.After, Credential: c.Credential, Path: c.Path, RegistryOf: c.RegistryOf,
		Justification: op.Justification, Resource: op.Resource, Version: s.Version,
	}
	if failure != nil {
		e.Error = failure.Error()
	}
	return e
}
