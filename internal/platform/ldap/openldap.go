package ldap

import (
	"fmt"
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const (
	attrPassword = "userPassword"
	attrLocked   = "pwdAccountLockedTime"
	attrText     = "description"

	// lockedForever is the time that the overlay ppolicy takes for "until an administrator unlocks it" (slapo-ppolicy(5)).
	lockedForever = "000001010000Z"
	// ppolicyControl is announced by servers that have the overlay.
	ppolicyControl = "1.3.6.1.4.1.42.2.27.8.5.1"

	classMustHavePassword = "simpleSecurityObject"
)

// openLDAP is the dialect of slapd.
type openLDAP struct {
	config Config
}

func (d *openLDAP) readFacts(_ *session, rootDSE *goldap.Entry, f *facts) error {
	root, ok := contextOf(rootDSE, d.config.BaseDN)
	if !ok {
		return driver.Errorf(driver.Invalid, "base_dn: %q is not in this directory, which holds %s", d.config.BaseDN,
			strings.Join(rootDSE.GetEqualFoldAttributeValues("namingContexts"), "; "))
	}
	f.root, f.version = root, "OpenLDAP"
	if text := rootDSE.GetEqualFoldAttributeValue("vendorVersion"); text != "" {
		f.version = text
	}
	f.ppolicy = slices.Contains(rootDSE.GetEqualFoldAttributeValues("supportedControl"), ppolicyControl)
	return nil
}

// lacking is empty: slapd does not tell what a login may do.
func (d *openLDAP) lacking(*session, *facts) ([]string, error) { return nil, nil }

func (d *openLDAP) idAttribute() string { return "entryUUID" }

func (d *openLDAP) id(e *goldap.Entry) string { return e.GetEqualFoldAttributeValue("entryUUID") }

func (d *openLDAP) idFilter(id string) (string, bool) {
	return equals("entryUUID", id), uuidPattern.MatchString(id)
}

func (d *openLDAP) nameAttribute() string { return "uid" }

// name is the uid in the entry's DN; of an entry that is named by something else, its first uid in order.
func (d *openLDAP) name(e *goldap.Entry) string {
	names := slices.Sorted(slices.Values(e.GetEqualFoldAttributeValues("uid")))
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	if dn, err := goldap.ParseDN(e.DN); err == nil && len(dn.RDNs) > 0 {
		for _, part := range dn.RDNs[0].Attributes {
			if strings.EqualFold(part.Type, "uid") && slices.Contains(names, part.Value) {
				return part.Value
			}
		}
	}
	return names[0]
}

func (d *openLDAP) accountFilter() string { return "(uid=*)" }

func (d *openLDAP) attributes() []string {
	return []string{"objectClass", "uid", "entryUUID", attrText, attrPassword, attrLocked}
}

func (d *openLDAP) strict() bool { return true }

func (d *openLDAP) observe(e *goldap.Entry) nhi.Account {
	account := nhi.Account{Ref: nhi.Ref{Name: d.name(e), ID: d.id(e)}, Status: nhi.Active}
	for _, text := range e.GetEqualFoldAttributeValues(attrText) {
		if account.Mark.IsZero() {
			account.Mark = nhi.FindMark(text)
		}
	}
	passwords := e.GetEqualFoldAttributeValues(attrPassword)
	locked := e.GetEqualFoldAttributeValue(attrLocked) == lockedForever
	if locked || slices.Contains(passwords, suspendedValue) && !slices.ContainsFunc(passwords, worksAlready) {
		account.Status = nhi.Suspended
	}
	others := false
	for _, value := range passwords {
		if value = unlocked(value); value == "" {
			continue
		}
		c, ours := parsePassword(value)
		if !ours {
			others = true
		} else if !slices.Contains(account.Credentials, c) { // Twice where a run was killed between locking and removing.
			account.Credentials = append(account.Credentials, c)
		}
	}
	slices.SortStableFunc(account.Credentials, func(a, b nhi.Credential) int { return a.CreatedAt.Compare(b.CreatedAt) })
	if others {
		account.Credentials = slices.Insert(account.Credentials, 0, nhi.Credential{ID: otherPassword, Label: otherPassword})
	}
	return account
}

func (d *openLDAP) create(s *session, f *facts, spec driver.AccountSpec) (string, error) {
	dn := "uid=" + escapeValue(spec.Name) + "," + f.baseDN
	r := goldap.NewAddRequest(dn, nil)
	r.Attribute("uid", []string{spec.Name})
	if !spec.Mark.IsZero() {
		r.Attribute(attrText, []string{spec.Mark.String()})
	}
	var password []string
	if d.config.ObjectClass == ClassAccount {
		r.Attribute("objectClass", []string{"account", classMustHavePassword})
		password = []string{noPassword}
	} else {
		r.Attribute("objectClass", []string{"inetOrgPerson"})
		r.Attribute("cn", []string{spec.Name})
		r.Attribute("sn", []string{spec.Name})
	}
	if spec.Suspended {
		password = []string{suspendedValue} // One: ppolicy allows no more in a new entry.
	}
	if password != nil {
		r.Attribute(attrPassword, password)
	}
	if err := s.Add(r); err != nil {
		return "", fmt.Errorf("add %q: %w", dn, explained(err))
	}
	if spec.Suspended && f.ppolicy {
		if err := s.modify(dn, replacing(attrLocked, lockedForever)); err != nil {
			return "", undo(err, s.remove(dn))
		}
	}
	return dn, nil
}

func (d *openLDAP) changes(e *goldap.Entry, c driver.AccountChange) ([]change, error) {
	if c.Mark == nil {
		return nil, nil
	}
	return markChanges(e.GetEqualFoldAttributeValues(attrText), *c.Mark), nil
}

// markChanges puts the mark among the values of a text attribute that has room for several, as a value of its own.
func markChanges(values []string, mark nhi.Mark) []change {
	var changes []change
	wish := mark.String()
	for _, value := range values {
		if nhi.FindMark(value).IsZero() {
			continue
		}
		if value == wish {
			wish = ""
			continue
		}
		changes = append(changes, deleting(attrText, value))
		if rest := nhi.WithMark(value, nhi.Mark{}); rest != "" && !slices.Contains(values, rest) {
			changes = append(changes, adding(attrText, rest))
		}
	}
	if wish != "" {
		changes = append(changes, adding(attrText, wish))
	}
	return changes
}

// suspend locks each password, says so in one more value, and locks the account for ppolicy too. The account counts as
// suspended when all are locked.
func (d *openLDAP) suspend(s *session, f *facts, e *goldap.Entry) error {
	values := e.GetEqualFoldAttributeValues(attrPassword)
	for _, value := range values {
		if !worksAlready(value) {
			continue
		}
		if err := exchange(s, e.DN, values, value, lockedPrefix+value); err != nil {
			return err
		}
	}
	if !slices.Contains(values, suspendedValue) {
		if err := s.modify(e.DN, adding(attrPassword, suspendedValue)); err != nil {
			return err
		}
	}
	if err := d.lock(s, f, e.DN); err != nil {
		return err
	}
	return d.wantStatus(s, e.DN, nhi.Suspended)
}

// exchange puts one value of userPassword in the place of another. The overlay ppolicy takes both in one change for a user
// who changes the password, and wants to see the old one: so the new value comes first, and then the old one goes.
func exchange(s *session, dn string, values []string, from, to string) error {
	if !slices.Contains(values, to) {
		if err := s.modify(dn, adding(attrPassword, to)); err != nil {
			return err
		}
	}
	return s.modify(dn, deleting(attrPassword, from))
}

func (d *openLDAP) lock(s *session, f *facts, dn string) error {
	if !f.ppolicy {
		return nil
	}
	return s.modify(dn, replacing(attrLocked, lockedForever))
}

// resume undoes suspend in the opposite order: until the last step the account counts as suspended.
func (d *openLDAP) resume(s *session, f *facts, e *goldap.Entry) error {
	values := e.GetEqualFoldAttributeValues(attrPassword)
	for _, value := range values {
		plain := unlocked(value)
		if plain == "" || plain == value {
			continue
		}
		if err := exchange(s, e.DN, values, value, plain); err != nil {
			return err
		}
	}
	if slices.Contains(values, suspendedValue) {
		if err := removePassword(s, e, suspendedValue, len(values)); err != nil {
			return err
		}
	}
	if f.ppolicy {
		if err := s.modify(e.DN, replacing(attrLocked)); err != nil {
			return err
		}
	}
	return d.wantStatus(s, e.DN, nhi.Active)
}

// wantStatus reads back: a login that may write passwords and not read them would be told nothing of its failure.
func (d *openLDAP) wantStatus(s *session, dn string, want nhi.Status) error {
	e, ok, err := s.entry(dn, d.attributes())
	if err != nil {
		return err
	}
	if !ok || d.observe(e).Status != want {
		return errCannotSeePasswords(dn)
	}
	return nil
}

// removePassword removes one of left values; an entry that must have one gets a value that is none.
func removePassword(s *session, e *goldap.Entry, value string, left int) error {
	if left == 1 && hasClass(e, classMustHavePassword) {
		return exchange(s, e.DN, nil, value, noPassword)
	}
	return s.modify(e.DN, deleting(attrPassword, value))
}

func (d *openLDAP) slots() int { return 2 }

func (d *openLDAP) issue(s *session, f *facts, e *goldap.Entry, request driver.IssueRequest) (driver.Issued, error) {
	before := d.observe(e)
	password, credential := newPassword(before.Name), newCredential(request.Label)
	value := passwordValue(d.config.PasswordScheme, password, credential)
	if before.Status == nhi.Suspended {
		value = lockedPrefix + value
	}
	if err := s.modify(e.DN, adding(attrPassword, value)); err != nil {
		return driver.Issued{}, err
	}
	if err := d.settle(s, f, e.DN, before.Status, value); err != nil {
		return driver.Issued{}, err
	}
	return driver.Issued{Credential: credential, Login: e.DN, Secret: password}, nil
}

// settle checks, after a password was added, that it is there and no more than there is room for: of two runs that add
// one at the same time at least one takes its own back. A change of passwords may also have lifted ppolicy's lock.
func (d *openLDAP) settle(s *session, f *facts, dn string, status nhi.Status, value string) error {
	e, ok, err := s.entry(dn, d.attributes())
	if err != nil {
		return err
	}
	if !ok || !slices.Contains(e.GetEqualFoldAttributeValues(attrPassword), value) {
		return errCannotSeePasswords(dn)
	}
	if n := len(d.observe(e).Credentials); n > d.slots() {
		err := driver.Errorf(driver.Conflict, "%q has %d credentials now: another run made one at the same time", dn, n)
		return undo(err, s.modify(dn, deleting(attrPassword, value)))
	}
	if status == nhi.Suspended {
		return d.lock(s, f, dn)
	}
	return nil
}

func (d *openLDAP) revokeCredential(s *session, f *facts, e *goldap.Entry, id string) error {
	values := e.GetEqualFoldAttributeValues(attrPassword)
	left := len(values)
	for _, value := range values {
		plain := unlocked(value)
		c, ours := parsePassword(plain)
		if plain == "" || ours && c.ID != id || !ours && id != otherPassword {
			continue // A value that is none, or that of another credential.
		}
		if err := removePassword(s, e, value, left); err != nil {
			return err
		}
		left--
	}
	if d.observe(e).Status == nhi.Suspended {
		return d.lock(s, f, e.DN)
	}
	return nil
}
