package awsfake

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"
)

// state is what IAM holds.
type state struct {
	users    map[string]*user
	policies map[string]bool // by ARN
	groups   map[string]*group
}

type group struct {
	id               string
	attached, inline []string
}

type user struct {
	name, id, path, boundary string
	created                  time.Time
	tags, inline             map[string]string
	attached, groups         []string
	keys                     []accessKey
	login                    bool
	devices, publicKeys      []string
	certificates, services   []string
}

type accessKey struct {
	id, secret    string
	active        bool
	created, used time.Time
}

func newState() *state {
	return &state{users: map[string]*user{}, policies: map[string]bool{}, groups: map[string]*group{}}
}

func (s *state) clone() *state {
	out := &state{users: map[string]*user{}, policies: maps.Clone(s.policies), groups: maps.Clone(s.groups)}
	for name, u := range s.users {
		one := *u
		one.tags, one.inline = maps.Clone(u.tags), maps.Clone(u.inline)
		one.attached, one.groups, one.keys = slices.Clone(u.attached), slices.Clone(u.groups), slices.Clone(u.keys)
		out.users[name] = &one
	}
	return out
}

// view is what reads see: the state as it was some time ago.
func (f *Fake) view() *state {
	if f.Delay == 0 {
		return f.live
	}
	seen := newState()
	for _, s := range f.history {
		if time.Since(s.at) >= f.Delay {
			seen = s.state
		}
	}
	return seen
}

// changed keeps the state after a change for later reads.
func (f *Fake) changed() {
	if f.Delay == 0 {
		return
	}
	f.history = append(f.history, snapshot{at: time.Now(), state: f.live.clone()})
	for len(f.history) > 1 && time.Since(f.history[1].at) >= f.Delay {
		f.history = f.history[1:]
	}
}

func (u *user) arn() string { return "arn:aws:iam::" + Account + ":user" + u.path + u.name }

func (u *user) use(id string) {
	for i := range u.keys {
		if u.keys[i].id == id {
			u.keys[i].used = time.Now()
		}
	}
}

func newUser(name, path string) *user {
	return &user{
		name: name, path: cmp.Or(path, "/"), id: "AIDA" + rand.Text()[:17], created: time.Now(),
		tags: map[string]string{}, inline: map[string]string{},
	}
}

// AddUser makes a user out of band.
func (f *Fake) AddUser(name string) {
	f.edit(func(s *state) {
		s.users[name] = newUser(name, "/")
		s.users[name].tags["team"] = "billing"
	})
}

// AddPolicy makes a managed policy out of band and returns its ARN.
func (f *Fake) AddPolicy(name string) string {
	arn := "arn:aws:iam::" + Account + ":policy/" + name
	f.edit(func(s *state) { s.policies[arn] = true })
	return arn
}

// AddAWSPolicy makes a managed policy that is AWS's own.
func (f *Fake) AddAWSPolicy(name string) {
	f.edit(func(s *state) { s.policies["arn:aws:iam::aws:policy/"+name] = true })
}

// AddGroup makes a group out of band, with managed and inline policies.
func (f *Fake) AddGroup(name string, attached, inline []string) {
	f.edit(func(s *state) {
		s.groups[name] = &group{id: "AGPA" + rand.Text()[:17], attached: attached, inline: inline}
	})
}

// Attach attaches a managed policy to a user, or puts the user into a group, out of band.
func (f *Fake) Attach(name, policy, group string) {
	f.edit(func(s *state) {
		u := s.users[name]
		if policy != "" {
			u.attached = append(u.attached, policy)
		}
		if group != "" {
			u.groups = append(u.groups, group)
		}
	})
}

// AddKey gives a user an access key out of band and returns its id.
func (f *Fake) AddKey(name string, active bool) string {
	k := accessKey{id: "AKIA" + rand.Text()[:16], secret: rand.Text(), active: active, created: time.Now().Truncate(time.Second)}
	f.edit(func(s *state) { s.users[name].keys = append(s.users[name].keys, k) })
	return k.id
}

// PutInline gives a user an inline policy out of band.
func (f *Fake) PutInline(name, policy, document string) {
	f.edit(func(s *state) { s.users[name].inline[policy] = document })
}

// SwitchOn switches a user's access key on out of band.
func (f *Fake) SwitchOn(name, id string) {
	f.edit(func(s *state) {
		for i := range s.users[name].keys {
			if k := &s.users[name].keys[i]; k.id == id {
				k.active = true
			}
		}
	})
}

// Burden gives a user everything that keeps AWS from deleting it.
func (f *Fake) Burden(name string) {
	f.edit(func(s *state) {
		u := s.users[name]
		u.login = true
		u.devices = []string{"arn:aws:iam::" + Account + ":mfa/" + name, "GAHT12345678"}
		u.publicKeys, u.certificates = []string{"APKA" + rand.Text()[:16]}, []string{rand.Text()[:24] + rand.Text()[:8]}
		u.services = []string{"ACCA" + rand.Text()[:16]}
		u.inline["by-hand"] = `{"Version":"2012-10-17","Statement":[]}`
	})
}

// Rename renames a user out of band.
func (f *Fake) Rename(from, to string) {
	f.edit(func(s *state) {
		s.users[to] = s.users[from]
		s.users[to].name = to
		delete(s.users, from)
	})
}

// ActiveKeys lists the ids of a user's keys that are switched on.
func (f *Fake) ActiveKeys(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, k := range f.live.users[name].keys {
		if k.active {
			out = append(out, k.id)
		}
	}
	return out
}

// Tags returns a user's tags.
func (f *Fake) Tags(name string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.live.users[name].tags)
}

// SetTag sets a tag of a user out of band.
func (f *Fake) SetTag(name, key, value string) {
	f.edit(func(s *state) { s.users[name].tags[key] = value })
}

// Users counts the users.
func (f *Fake) Users() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.live.users)
}

func (f *Fake) edit(change func(*state)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.live)
	f.changed()
}

// page cuts a list, sorted by the key of its items, as AWS does: Marker says where the last answer ended.
func page[T any](in record, items []T, key func(T) string, name string, entry func(T) any) record {
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	after, _ := base64.RawURLEncoding.DecodeString(in.text("Marker"))
	limit, given := in["MaxItems"].(int64)
	if !given {
		limit = 100
	}
	list := []any{}
	out := record{"IsTruncated": false}
	last := ""
	for _, item := range items {
		if in.text("Marker") != "" && key(item) <= string(after) {
			continue
		}
		if int64(len(list)) == limit {
			out["IsTruncated"], out["Marker"] = true, base64.RawURLEncoding.EncodeToString([]byte(last))
			break
		}
		last = key(item)
		list = append(list, entry(item))
	}
	out[name] = list
	return out
}

func text(s string) any      { return s }
func itself(s string) string { return s }
