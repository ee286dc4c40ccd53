package sapbtpfake

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// level is the users and role collections of a subaccount, or of the level above.
type level struct {
	users  []*user
	groups map[string]bool
}

func newLevel() *level { return &level{groups: map[string]bool{}} }

type user struct {
	Schemas    []string            `json:"schemas"`
	ID         string              `json:"id"`
	ExternalID string              `json:"externalId,omitempty"`
	Meta       meta                `json:"meta"`
	UserName   string              `json:"userName"`
	Name       map[string]string   `json:"name"`
	Emails     []map[string]any    `json:"emails"`
	Phones     []map[string]string `json:"phoneNumbers,omitempty"`
	Groups     []group             `json:"groups"`
	Active     bool                `json:"active"`
	Verified   bool                `json:"verified"`
	Origin     string              `json:"origin"`
}

type meta struct {
	Version int    `json:"version"`
	Created string `json:"created"`
}

type group struct {
	Value   string `json:"value"`
	Display string `json:"display"`
	Type    string `json:"type"`
}

func (l *level) find(match func(*user) bool) *user {
	if i := slices.IndexFunc(l.users, match); i >= 0 {
		return l.users[i]
	}
	return nil
}

func (l *level) byID(id string) *user { return l.find(func(u *user) bool { return u.ID == id }) }

func (l *level) byName(name, origin string) *user {
	return l.find(func(u *user) bool { return strings.EqualFold(u.UserName, name) && u.Origin == origin })
}

func (f *Fake) levelHandler(l *level) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, r *http.Request, path string) {
		parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
		for i := range parts {
			parts[i], _ = url.PathUnescape(parts[i])
		}
		switch {
		case parts[0] == "Users" && len(parts) == 1 && r.Method == http.MethodGet:
			f.list(w, r, l)
		case parts[0] == "Users" && len(parts) == 1 && r.Method == http.MethodPost:
			f.create(w, r, l)
		case parts[0] == "Users" && len(parts) == 2:
			f.one(w, r, l, parts[1])
		case parts[0] == "Groups" && len(parts) >= 2:
			l.group(w, r, parts[1:])
		default:
			http.Error(w, "no such endpoint", http.StatusNotFound)
		}
	}
}

var filterPattern = regexp.MustCompile(`^(?:userName eq "((?:[^"\\]|\\.)*)" and )?origin eq "((?:[^"\\]|\\.)*)"$`)

var unquote = strings.NewReplacer(`\\`, `\`, `\"`, `"`)

func (f *Fake) list(w http.ResponseWriter, r *http.Request, l *level) {
	query := r.URL.Query()
	matched := filterPattern.FindStringSubmatch(query.Get("filter"))
	if matched == nil {
		fail(w, http.StatusBadRequest, "scim", "Invalid filter expression")
		return
	}
	start, count := number(query.Get("startIndex"), 1), min(number(query.Get("count"), 100), f.options.MaxPage)
	found := []*user{}
	for _, u := range l.users {
		byName := strings.HasPrefix(matched[0], "userName")
		if u.Origin == unquote.Replace(matched[2]) && (!byName || strings.EqualFold(u.UserName, unquote.Replace(matched[1]))) {
			found = append(found, u)
		}
	}
	from := min(start-1, len(found))
	page := found[from:min(from+count, len(found))]
	write(w, http.StatusOK, map[string]any{
		"schemas": []string{"urn:scim:schemas:core:1.0"}, "resources": page, "startIndex": start, "itemsPerPage": count,
		"totalResults": len(found),
	})
}

func number(text string, fallback int) int {
	if n, err := strconv.Atoi(text); err == nil && n > 0 {
		return n
	}
	return fallback
}

// decode reads a user and checks what the service checks.
func decode(w http.ResponseWriter, r *http.Request) *user {
	var u user
	if err := json.NewDecoder(r.Body).Decode(&u); err != nil {
		fail(w, http.StatusBadRequest, "invalid_scim_resource", "unreadable body")
		return nil
	}
	switch {
	case u.UserName == "" || utf8.RuneCountInString(u.UserName) > 255:
		fail(w, http.StatusBadRequest, "invalid_scim_resource", "A username must be provided, of at most 255 characters.")
	case len(u.Emails) != 1:
		fail(w, http.StatusBadRequest, "invalid_scim_resource", "Exactly one email must be provided.")
	case !strings.Contains(text(u.Emails[0]["value"]), "@"):
		fail(w, http.StatusBadRequest, "invalid_scim_resource", "The email must be an address.")
	case u.Origin == "":
		fail(w, http.StatusBadRequest, "invalid_scim_resource", "An origin must be provided.")
	default:
		return &u
	}
	return nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func (f *Fake) create(w http.ResponseWriter, r *http.Request, l *level) {
	u := decode(w, r)
	if u == nil {
		return
	}
	if l.byName(u.UserName, u.Origin) != nil {
		fail(w, http.StatusConflict, "scim_resource_already_exists", "Username already in use: "+u.UserName)
		return
	}
	f.add(l, u)
	write(w, http.StatusCreated, u)
}

func (f *Fake) add(l *level, u *user) {
	u.Schemas, u.ID, u.Groups = []string{"urn:scim:schemas:core:1.0"}, newID(), []group{}
	u.Meta = meta{Created: f.now().Format("2006-01-02T15:04:05.000Z")}
	l.users = append(l.users, u)
}

func (f *Fake) one(w http.ResponseWriter, r *http.Request, l *level, id string) {
	u := l.byID(id)
	if u == nil {
		fail(w, http.StatusNotFound, "scim_resource_not_found", "User "+id+" does not exist")
		return
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodDelete:
		l.users = slices.DeleteFunc(l.users, func(other *user) bool { return other == u })
	case http.MethodPut:
		if !l.replace(w, r, u) {
			return
		}
	default:
		fail(w, http.StatusMethodNotAllowed, "method_not_allowed", "")
		return
	}
	write(w, http.StatusOK, u)
}

func (l *level) replace(w http.ResponseWriter, r *http.Request, u *user) bool {
	in := decode(w, r)
	match := r.Header.Get("If-Match")
	switch {
	case in == nil:
		return false
	case match == "":
		fail(w, http.StatusBadRequest, "scim", "Missing If-Match for PUT")
		return false
	case match != strconv.Itoa(u.Meta.Version):
		fail(w, http.StatusConflict, "scim_resource_conflict", "Attempt to update a user with wrong version")
		return false
	}
	in.Schemas, in.ID, in.Groups, in.Origin = u.Schemas, u.ID, u.Groups, u.Origin
	in.Meta = meta{Version: u.Meta.Version + 1, Created: u.Meta.Created}
	*u = *in
	return true
}

// group serves role collections as groups: parts is the name, perhaps "members", perhaps a member's id.
func (l *level) group(w http.ResponseWriter, r *http.Request, parts []string) {
	name := parts[0]
	if !l.groups[name] {
		fail(w, http.StatusNotFound, "scim_resource_not_found", "Group "+name+" does not exist")
		return
	}
	switch {
	case len(parts) == 1 && r.Method == http.MethodGet:
		write(w, http.StatusOK, map[string]any{"id": name, "displayName": name})
	case len(parts) == 2 && parts[1] == "members" && r.Method == http.MethodPost:
		l.join(w, r, name)
	case len(parts) == 3 && parts[1] == "members" && r.Method == http.MethodDelete:
		u := l.byID(parts[2])
		if u == nil || !slices.Contains(u.Groups, directGroup(name)) {
			fail(w, http.StatusNotFound, "scim_resource_not_found", "Member "+parts[2]+" does not exist in group "+name)
			return
		}
		u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(g group) bool { return g == directGroup(name) })
		write(w, http.StatusOK, map[string]string{"value": parts[2], "type": "USER"})
	default:
		http.Error(w, "no such endpoint", http.StatusNotFound)
	}
}

func directGroup(name string) group { return group{Value: name, Display: name, Type: "DIRECT"} }

func (l *level) join(w http.ResponseWriter, r *http.Request, name string) {
	var member struct{ Origin, Type, Value string }
	if err := json.NewDecoder(r.Body).Decode(&member); err != nil || member.Type != "USER" || member.Origin == "" {
		fail(w, http.StatusBadRequest, "invalid_scim_resource", "A member has an origin, the type USER and a value.")
		return
	}
	u := l.byID(member.Value)
	switch {
	case u == nil || u.Origin != member.Origin:
		fail(w, http.StatusNotFound, "scim_resource_not_found", "User "+member.Value+" does not exist")
	case slices.Contains(u.Groups, directGroup(name)):
		fail(w, http.StatusConflict, "member_already_exists", "The member already exists in the group.")
	default:
		u.Groups = append(slices.Clone(u.Groups), directGroup(name))
		write(w, http.StatusCreated, member)
	}
}
