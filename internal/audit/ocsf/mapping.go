package ocsf

import (
	"fmt"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// Version is a version of the OCSF schema.
type Version string

// The versions that events can be written in.
const (
	// V180 has the classes Account Change and User Access Management, which most consumers know today.
	V180 Version = "1.8.0"
	// V190 has User Management, which replaces both.
	V190 Version = "1.9.0"
	// Default is the version that more consumers read: one that knows 1.9.0 still knows the classes of 1.8.0, which are
	// deprecated and not removed, while one that does not know User Management drops its events.
	Default = V180
)

// Versions lists every version, oldest first.
func Versions() []Version { return []Version{V180, V190} }

// ParseVersion reads a version as users write it; "" is Default.
func ParseVersion(text string) (Version, error) {
	if text == "" {
		return Default, nil
	}
	for _, v := range Versions() {
		if text == string(v) {
			return v, nil
		}
	}
	return "", fmt.Errorf("%q is no supported version of OCSF: write %q or %q", text, V180, V190)
}

// Class is a class of events in the category Identity & Access Management.
type Class struct {
	UID  int
	Name string
}

// The classes that events are written in.
var (
	accountChange   = Class{3001, "Account Change"}
	userAccess      = Class{3005, "User Access Management"}
	groupManagement = Class{3006, "Group Management"}
	userManagement  = Class{3007, "User Management"}
)

const (
	categoryUID  = 3
	categoryName = "Identity & Access Management"
	// other is the activity that the schema has no number for; its name is then ours.
	other = 99
	// unknown is the status of a change of which nobody knows what came.
	unknown = 0
)

// Form says how an activity is written: the class, and the activity within it.
type Form struct {
	Class    Class
	Activity int
	Name     string
}

// Mapping says how an activity is written in each version.
type Mapping struct {
	Activity   audit.Activity
	V180, V190 Form
}

// Mappings lists how every activity is written, in the order of audit.Activities. A grant or revocation of exactly one
// entitlement of the type "group" is written as GroupForm says instead.
func Mappings() []Mapping {
	return []Mapping{
		{audit.CreateAccount, Form{accountChange, 1, "Create"}, Form{userManagement, 1, "Create"}},
		{audit.UpdateAccount, Form{accountChange, other, "Update"}, Form{userManagement, 2, "Update"}},
		{audit.DeleteAccount, Form{accountChange, 6, "Delete"}, Form{userManagement, 3, "Delete"}},
		{audit.SuspendAccount, Form{accountChange, 5, "Disable"}, Form{userManagement, 5, "Disable"}},
		{audit.ResumeAccount, Form{accountChange, 2, "Enable"}, Form{userManagement, 4, "Enable"}},
		{audit.EndSessions, Form{accountChange, other, "End Sessions"}, Form{userManagement, other, "End Sessions"}},
		{audit.Grant, Form{userAccess, 1, "Assign Privileges"}, Form{userManagement, 14, "Assign Privileges"}},
		{audit.Revoke, Form{userAccess, 2, "Revoke Privileges"}, Form{userManagement, 15, "Remove Privileges"}},
		{audit.IssueCredential, Form{accountChange, other, "Issue Credential"}, Form{userManagement, 18, "Add Programmatic Credentials"}},
		{audit.RevokeCredential, Form{accountChange, other, "Revoke Credential"}, Form{userManagement, 19, "Remove Programmatic Credentials"}},
		{audit.StoreSecret, Form{accountChange, other, "Store Secret"}, Form{userManagement, other, "Store Secret"}},
		{audit.RemoveSecret, Form{accountChange, other, "Remove Secret"}, Form{userManagement, other, "Remove Secret"}},
		{audit.MintToken, Form{accountChange, other, "Mint Token"}, Form{userManagement, 18, "Add Programmatic Credentials"}},
		{audit.RevokeToken, Form{accountChange, other, "Revoke Token"}, Form{userManagement, 19, "Remove Programmatic Credentials"}},
	}
}

// GroupForm is how a grant (or else a revocation) of one group membership is written, in every version.
func GroupForm(grant bool) Form {
	if grant {
		return Form{groupManagement, 3, "Add User"}
	}
	return Form{groupManagement, 4, "Remove User"}
}

// formOf chooses the form of an event. An activity that the table does not have is written as "Other".
func formOf(v Version, e audit.Event) Form {
	if _, ok := group(e); ok {
		return GroupForm(e.Activity == audit.Grant)
	}
	for _, m := range Mappings() {
		switch {
		case m.Activity != e.Activity:
		case v == V190:
			return m.V190
		default:
			return m.V180
		}
	}
	if v == V190 {
		return Form{userManagement, other, string(e.Activity)}
	}
	return Form{accountChange, other, string(e.Activity)}
}

// group returns the name of the group if e is about the membership in one group and nothing else.
func group(e audit.Event) (string, bool) {
	changed := changed(e)
	if len(changed) != 1 {
		return "", false
	}
	return strings.CutPrefix(changed[0], "group:")
}

// changed lists the entitlements that e adds or takes away; nil for other activities.
func changed(e audit.Event) []string {
	switch e.Activity {
	case audit.Grant:
		return without(e.After, e.Before)
	case audit.Revoke:
		return without(e.Before, e.After)
	default:
		return nil
	}
}

// without lists what is in list and not in gone.
func without(list, gone []string) []string {
	drop := make(map[string]bool, len(gone))
	for _, text := range gone {
		drop[text] = true
	}
	var out []string
	for _, text := range list {
		if !drop[text] {
			out = append(out, text)
		}
	}
	return out
}
