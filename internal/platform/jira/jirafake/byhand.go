package jirafake

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// What an administrator does with other tools.

// AddUser gives an Atlassian account access to the site. Unmanaged accounts are not the organization's.
func (f *Fake) AddUser(id string, unmanaged bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users[id] = &user{id: id, active: true, unmanaged: unmanaged, properties: map[string]json.RawMessage{}}
}

// AddGroup makes a group that opens products.
func (f *Fake) AddGroup(name string, products ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.groups = append(f.groups, &group{id: strings.ToLower(rand.Text()), name: name, products: products})
}

// AddProject makes a project with roles.
func (f *Fake) AddProject(key string, roles ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &project{id: 10000 + len(f.projects), key: key}
	for i, name := range roles {
		p.roles = append(p.roles, &role{id: int64(10002 + i), name: name})
	}
	f.projects = append(f.projects, p)
}

// RenameProject gives a project another key. Requests may go on using the old one, as on a real site.
func (f *Fake) RenameProject(key, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.projects, func(p *project) bool { return p.key == key })
	if i < 0 {
		return fmt.Errorf("no project %q", key)
	}
	f.projects[i].key, f.projects[i].oldKeys = to, append(f.projects[i].oldKeys, key)
	return nil
}

// CloseProject lets nobody browse a project, so that only who may administer Jira sees it.
func (f *Fake) CloseProject(key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.projects, func(p *project) bool { return p.key == key })
	if i < 0 {
		return fmt.Errorf("no project %q", key)
	}
	f.projects[i].closed = true
	return nil
}

// JoinGroup makes a user a member of a group.
func (f *Fake) JoinGroup(id, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.groups, func(g *group) bool { return g.name == name })
	if i < 0 || f.users[id] == nil {
		return fmt.Errorf("no group %q or no user %q", name, id)
	}
	f.groups[i].members = append(f.groups[i].members, id)
	return nil
}

// PlayRole gives a role of a project to a user or, with a group's name, to a group.
func (f *Fake) PlayRole(id, groupName, key, roleName string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.projects, func(p *project) bool { return p.key == key })
	if i < 0 {
		return fmt.Errorf("no project %q", key)
	}
	j := slices.IndexFunc(f.projects[i].roles, func(r *role) bool { return r.name == roleName })
	g := slices.IndexFunc(f.groups, func(g *group) bool { return g.name == groupName })
	switch {
	case j < 0:
		return fmt.Errorf("no role %q", roleName)
	case groupName == "" && f.users[id] != nil:
		f.projects[i].roles[j].users = append(f.projects[i].roles[j].users, id)
	case g >= 0:
		f.projects[i].roles[j].groups = append(f.projects[i].roles[j].groups, f.groups[g].id)
	default:
		return fmt.Errorf("no user %q and no group %q", id, groupName)
	}
	return nil
}

// Active reports whether the organization lets the account log in.
func (f *Fake) Active(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.users[id] != nil && f.users[id].active
}

var lifecycle = regexp.MustCompile(`^/users/([^/]+)/manage/lifecycle/(disable|enable)$`)

// refusal is how the organization's API says no.
type refusal struct {
	Code    int    `json:"code,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

// organization is the user management API, of which there is no published document here.
func (f *Fake) organization(w http.ResponseWriter, r *http.Request, path string) {
	if f.throttled(w) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	matched := lifecycle.FindStringSubmatch(path)
	switch {
	case r.Header.Get("Authorization") != "Bearer "+f.options.OrganizationKey:
		write(w, http.StatusUnauthorized, refusal{Code: http.StatusUnauthorized, Message: "Unauthorized"})
	case matched == nil || r.Method != http.MethodPost:
		write(w, http.StatusMethodNotAllowed, refusal{Code: http.StatusMethodNotAllowed, Message: "no such operation"})
	case f.users[matched[1]] == nil || f.users[matched[1]].unmanaged:
		write(w, http.StatusNotFound, refusal{Key: "user.not-found", Message: "Not a managed account"})
	default:
		u := f.users[matched[1]]
		u.active, u.lag = matched[2] == "enable", f.options.Lag
		w.WriteHeader(http.StatusNoContent)
	}
}
