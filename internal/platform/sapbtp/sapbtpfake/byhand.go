package sapbtpfake

import "slices"

// What an administrator or a person does without the APIs.

// AddRoleCollection makes a role collection in the subaccount.
func (f *Fake) AddRoleCollection(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subaccount.groups[name] = true
}

// AddUser makes a shadow user of an origin in the subaccount.
func (f *Fake) AddUser(name, origin string) { f.addTo(f.subaccount, name, origin) }

// AddUpperUser makes a user of the level above.
func (f *Fake) AddUpperUser(name, origin string) { f.addTo(f.upper, name, origin) }

func (f *Fake) addTo(l *level, name, origin string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(l, &user{
		UserName: name, Origin: origin, Active: true, Verified: true, Name: map[string]string{"familyName": name},
		Emails: []map[string]any{{"value": "by-hand@example.com", "primary": true}},
	})
}

// DeleteUser deletes a shadow user of the subaccount in the cockpit. Its bindings stay: they are the instance's.
func (f *Fake) DeleteUser(name, origin string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subaccount.users = slices.DeleteFunc(f.subaccount.users, func(u *user) bool { return u.UserName == name && u.Origin == origin })
}

// Bindings is how many bindings there are.
func (f *Fake) Bindings() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.bindings)
}

// Assign gives a user of the subaccount a role collection: directly, or as a mapping of groups does.
func (f *Fake) Assign(name, origin, roleCollection string, mapped bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.subaccount.byName(name, origin)
	if u == nil || !f.subaccount.groups[roleCollection] {
		return false
	}
	g := directGroup(roleCollection)
	if mapped {
		g.Type = "INDIRECT"
	}
	u.Groups = append(slices.Clone(u.Groups), g)
	return true
}

// SetExternalID writes what another provisioning system keeps in a user.
func (f *Fake) SetExternalID(name, origin, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.subaccount.byName(name, origin); u != nil {
		u.ExternalID = text
		u.Meta.Version++
	}
}

// Logon is a person or program that logs on with the identity provider. It succeeds if there is a shadow user; without
// one, it is made anew from the user of the level above.
func (f *Fake) Logon(name, origin string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subaccount.byName(name, origin) != nil {
		return true
	}
	above := f.upper.byName(name, origin)
	if above == nil {
		return false
	}
	again := *above
	again.ExternalID = ""
	f.add(f.subaccount, &again)
	return true
}
