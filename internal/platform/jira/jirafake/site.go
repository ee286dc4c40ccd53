package jirafake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3filter"
)

// base is the address that the site has for itself.
const base = "https://fake.atlassian.net"

type user struct {
	id         string
	active     bool
	unmanaged  bool
	lag        int // how many more reads show the state before
	properties map[string]json.RawMessage
}

type group struct {
	id, name string
	products []string
	members  []string
}

type project struct {
	id      int
	key     string
	oldKeys []string
	// closed: only who may administer Jira sees it.
	closed bool
	roles  []*role
}

func (p *project) goesBy(key string) bool { return p.key == key || slices.Contains(p.oldKeys, key) }

type role struct {
	id            int64
	name          string
	users, groups []string
}

// serve answers a request that the document allows.
func (f *Fake) serve(w http.ResponseWriter, r *http.Request, input *openapi3filter.RequestValidationInput) {
	f.mu.Lock()
	defer f.mu.Unlock()
	operation := r.Method + " " + input.Route.Path
	f.requests[operation]++
	if f.options.NoAdmin && r.Method != http.MethodGet {
		refuse(w, http.StatusForbidden, "You do not have permission to do this.")
		return
	}
	query := r.URL.Query()
	u := f.users[query.Get("accountId")]
	if strings.HasPrefix(input.Route.Path, "/rest/api/3/user") && (u == nil || f.options.NoBrowse) {
		refuse(w, http.StatusNotFound, "Specified user does not exist or you do not have required permissions")
		return
	}
	switch operation {
	case "GET /rest/api/3/serverInfo":
		write(w, http.StatusOK, map[string]any{"baseUrl": base, "version": "1001.0.0-SNAPSHOT", "deploymentType": "Cloud"})
	case "GET /rest/api/3/mypermissions":
		f.permissions(w, strings.Split(query.Get("permissions"), ","))
	case "GET /rest/api/3/user":
		write(w, http.StatusOK, u.shown())
	case "DELETE /rest/api/3/user":
		f.forget(u.id)
		write(w, http.StatusNoContent, nil)
	case "GET /rest/api/3/user/groups":
		write(w, http.StatusOK, f.groupsOf(u.id))
	case "GET /rest/api/3/group/bulk":
		f.listGroups(w, query.Get("groupName"), number(query.Get("startAt")), number(query.Get("maxResults")))
	case "POST /rest/api/3/group/user", "DELETE /rest/api/3/group/user":
		f.membership(w, r, query.Get("groupId"))
	case "GET /rest/api/3/applicationrole":
		write(w, http.StatusOK, f.products())
	case "GET /rest/api/3/project/search":
		f.listProjects(w, query["keys"], number(query.Get("startAt")), number(query.Get("maxResults")))
	default:
		if strings.HasPrefix(input.Route.Path, "/rest/api/3/user/properties/") {
			u.property(w, r, input.PathParams["propertyKey"])
			return
		}
		f.project(w, r, input.PathParams)
	}
}

// permissions tells of those permissions that were asked for.
func (f *Fake) permissions(w http.ResponseWriter, keys []string) {
	known := map[string]map[string]any{
		"ADMINISTER": {
			"id": "0", "key": "ADMINISTER", "name": "Administer Jira", "type": "GLOBAL", "havePermission": !f.options.NoAdmin,
		},
		"USER_PICKER": {
			"id": "27", "key": "USER_PICKER", "name": "Browse users and groups", "type": "GLOBAL", "havePermission": !f.options.NoBrowse,
		},
	}
	asked := map[string]any{}
	for _, key := range keys {
		if known[key] == nil {
			refuse(w, http.StatusBadRequest, "Unrecognized permission "+key)
			return
		}
		asked[key] = known[key]
	}
	write(w, http.StatusOK, map[string]any{"permissions": asked})
}

func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

func (u *user) shown() map[string]any {
	active := u.active
	if u.lag > 0 {
		u.lag--
		active = !active
	}
	return map[string]any{
		"self": base + "/rest/api/3/user?accountId=" + u.id, "accountId": u.id, "accountType": "atlassian", "active": active,
		"displayName": "Agent", "timeZone": "Etc/UTC",
	}
}

func (f *Fake) forget(id string) {
	delete(f.users, id)
	for _, g := range f.groups {
		g.members = without(g.members, id)
	}
	for _, p := range f.projects {
		for _, r := range p.roles {
			r.users = without(r.users, id)
		}
	}
}

func without(all []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(other string) bool { return other == one })
}

func (u *user) property(w http.ResponseWriter, r *http.Request, key string) {
	value, known := u.properties[key]
	switch {
	case r.Method == http.MethodPut:
		var body json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body) > 32768 {
			refuse(w, http.StatusBadRequest, "The value must be JSON of at most 32768 characters.")
			return
		}
		u.properties[key] = body
		status := http.StatusCreated
		if known {
			status = http.StatusOK
		}
		write(w, status, map[string]any{})
	case !known:
		refuse(w, http.StatusNotFound, "The property "+key+" does not exist.")
	case r.Method == http.MethodDelete:
		delete(u.properties, key)
		write(w, http.StatusNoContent, nil)
	default:
		write(w, http.StatusOK, map[string]any{"key": key, "value": value})
	}
}

func (g *group) shown() map[string]any {
	return map[string]any{"name": g.name, "groupId": g.id, "self": base + "/rest/api/3/group?groupId=" + g.id}
}

func (f *Fake) groupsOf(id string) []any {
	found := []any{}
	for _, g := range f.groups {
		if slices.Contains(g.members, id) {
			found = append(found, g.shown())
		}
	}
	return found
}

// slice cuts a page out of a list and puts the frame around it.
func (f *Fake) slice(w http.ResponseWriter, all []any, start, count int) {
	count = min(max(count, 1), f.options.MaxPage)
	from := min(start, len(all))
	to := min(from+count, len(all))
	write(w, http.StatusOK, map[string]any{
		"startAt": start, "maxResults": count, "total": len(all), "isLast": to == len(all), "values": append([]any{}, all[from:to]...),
	})
}

func (f *Fake) listGroups(w http.ResponseWriter, name string, start, count int) {
	var found []any
	for _, g := range f.groups {
		if name == "" || g.name == name {
			found = append(found, map[string]any{"name": g.name, "groupId": g.id})
		}
	}
	f.slice(w, found, start, count)
}

func (f *Fake) membership(w http.ResponseWriter, r *http.Request, id string) {
	i := slices.IndexFunc(f.groups, func(g *group) bool { return g.id == id })
	if i < 0 {
		refuse(w, http.StatusNotFound, "The group was not found.")
		return
	}
	g, account := f.groups[i], r.URL.Query().Get("accountId")
	if r.Method == http.MethodPost {
		var body struct{ AccountID string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		account = body.AccountID
	}
	member := slices.Contains(g.members, account)
	switch {
	case f.users[account] == nil:
		refuse(w, http.StatusNotFound, "The user was not found.")
	case member == (r.Method == http.MethodPost):
		refuse(w, http.StatusBadRequest, fmt.Sprintf("Cannot change the membership: member is %t.", member))
	case member:
		g.members = without(g.members, account)
		write(w, http.StatusOK, nil)
	default:
		g.members = append(g.members, account)
		write(w, http.StatusCreated, map[string]any{"name": g.name, "groupId": g.id})
	}
}

func (f *Fake) products() []any {
	byKey := map[string][]any{}
	for _, g := range f.groups {
		for _, key := range g.products {
			byKey[key] = append(byKey[key], g.shown())
		}
	}
	found := []any{}
	for key, groups := range byKey {
		found = append(found, map[string]any{"key": key, "name": key, "groupDetails": groups})
	}
	return found
}

func (f *Fake) sees(p *project) bool { return !p.closed || !f.options.NoAdmin }

func (f *Fake) listProjects(w http.ResponseWriter, keys []string, start, count int) {
	var found []any
	for _, p := range f.projects {
		if f.sees(p) && (len(keys) == 0 || slices.ContainsFunc(keys, p.goesBy)) {
			found = append(found, map[string]any{"id": strconv.Itoa(p.id), "key": p.key, "name": p.key})
		}
	}
	if len(found) == 0 {
		refuse(w, http.StatusNotFound, "No projects matching the search criteria are found.") // So the document says.
		return
	}
	f.slice(w, found, start, count)
}

// project serves the roles of a project.
func (f *Fake) project(w http.ResponseWriter, r *http.Request, parameters map[string]string) {
	i := slices.IndexFunc(f.projects, func(p *project) bool {
		return f.sees(p) && p.goesBy(parameters["projectIdOrKey"])
	})
	if i < 0 {
		refuse(w, http.StatusNotFound, "No project could be found with key '"+parameters["projectIdOrKey"]+"'.")
		return
	}
	p, id := f.projects[i], parameters["id"]
	if id == "" {
		roles := map[string]string{}
		for _, role := range p.roles {
			roles[role.name] = fmt.Sprintf("%s/rest/api/3/project/%d/role/%d", base, p.id, role.id)
		}
		write(w, http.StatusOK, roles)
		return
	}
	j := slices.IndexFunc(p.roles, func(role *role) bool { return strconv.FormatInt(role.id, 10) == id })
	if j < 0 {
		refuse(w, http.StatusNotFound, "The role was not found.")
		return
	}
	f.role(w, r, p.roles[j])
}

func (f *Fake) role(w http.ResponseWriter, r *http.Request, role *role) {
	switch r.Method {
	case http.MethodPost:
		var body struct{ User []string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		if len(body.User) != 1 || f.users[body.User[0]] == nil {
			refuse(w, http.StatusBadRequest, "We can't find the user in any accessible user directory.")
			return
		}
		if slices.Contains(role.users, body.User[0]) {
			refuse(w, http.StatusBadRequest, "The user is already a member of the project role.")
			return
		}
		role.users = append(role.users, body.User[0])
	case http.MethodDelete:
		account := r.URL.Query().Get("user")
		if !slices.Contains(role.users, account) {
			refuse(w, http.StatusNotFound, "The user is not an actor of the role.")
			return
		}
		role.users = without(role.users, account)
		write(w, http.StatusNoContent, nil)
		return
	}
	write(w, http.StatusOK, f.roleShown(role))
}

func (f *Fake) roleShown(role *role) map[string]any {
	actors := []any{}
	for i, id := range role.users {
		actors = append(actors, map[string]any{
			"id": 10000 + i, "displayName": "Agent", "type": "atlassian-user-role-actor", "actorUser": map[string]any{"accountId": id},
		})
	}
	for i, id := range role.groups {
		j := slices.IndexFunc(f.groups, func(g *group) bool { return g.id == id })
		actors = append(actors, map[string]any{
			"id": 20000 + i, "displayName": f.groups[j].name, "type": "atlassian-group-role-actor",
			"actorGroup": map[string]any{"name": f.groups[j].name, "displayName": f.groups[j].name, "groupId": id},
		})
	}
	return map[string]any{"self": fmt.Sprintf("%s/role/%d", base, role.id), "id": role.id, "name": role.name, "actors": actors}
}
