package redmine

import (
	"encoding/json"
	"slices"
)

// Statuses of users (app/models/principal.rb). There are users of no other: 0 is the anonymous one.
const (
	statusActive     = 1
	statusRegistered = 2
	statusLocked     = 3
)

// Statuses of projects (app/models/project.rb). In a closed one everything can be read and nothing changed.
const (
	projectActive = 1
	projectClosed = 5
)

// user is what Redmine says of a user. Its API key, which administrators are shown in clear, is not read.
type user struct {
	ID           int          `json:"id"`
	Login        string       `json:"login"`
	Admin        bool         `json:"admin"`
	FirstName    string       `json:"firstname"`
	LastName     string       `json:"lastname"`
	Mail         string       `json:"mail"`
	CreatedOn    string       `json:"created_on"`
	Status       int          `json:"status"`
	CustomFields []fieldValue `json:"custom_fields"`
	Groups       []named      `json:"groups"`
	Memberships  []membership `json:"memberships"`
}

type fieldValue struct {
	ID    int             `json:"id"`
	Value json.RawMessage `json:"value"`
}

type named struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// membership is one of a user or a group in a project. A role that comes through a group is inherited, also one that the
// user holds directly as well: then it is listed twice.
type membership struct {
	ID      int         `json:"id"`
	Project named       `json:"project"`
	User    named       `json:"user"`
	Group   named       `json:"group"`
	Roles   []grantRole `json:"roles"`
}

type grantRole struct {
	named
	Inherited bool `json:"inherited"`
}

// direct are the roles that do not come through a group.
func (m membership) direct() []int {
	var ids []int
	for _, r := range m.Roles {
		if !r.Inherited && !slices.Contains(ids, r.ID) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

type project struct {
	named
	Identifier string `json:"identifier"`
	Public     bool   `json:"is_public"`
}

type customField struct {
	named
	Type    string `json:"customized_type"`
	Format  string `json:"field_format"`
	Max     *int   `json:"max_length"`
	Visible bool   `json:"visible"`
}

// The bodies of requests. Absent fields stay as they are.
type userBody struct {
	User userChange `json:"user"`
}

type userChange struct {
	Login            string       `json:"login,omitempty"`
	FirstName        string       `json:"firstname,omitempty"`
	LastName         string       `json:"lastname,omitempty"`
	Mail             string       `json:"mail,omitempty"`
	MailNotification string       `json:"mail_notification,omitempty"`
	Password         string       `json:"password,omitempty"`
	Status           int          `json:"status,omitempty"`
	Admin            *bool        `json:"admin,omitempty"`
	CustomFields     []fieldWrite `json:"custom_fields,omitempty"`
}

type fieldWrite struct {
	ID    int    `json:"id"`
	Value string `json:"value"`
}

type membershipBody struct {
	Membership membershipChange `json:"membership"`
}

type membershipChange struct {
	UserID  int   `json:"user_id,omitempty"`
	RoleIDs []int `json:"role_ids"`
}

type memberBody struct {
	UserID int `json:"user_id"`
}

// text returns the value of a custom field, "" if the user has none.
func (u user) text(field int) string {
	for _, f := range u.CustomFields {
		if f.ID == field {
			var text string
			_ = json.Unmarshal(f.Value, &text) // A list is another format, which fieldID refuses.
			return text
		}
	}
	return ""
}
