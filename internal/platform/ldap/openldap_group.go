package ldap

import (
	"slices"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The attributes in which groups list their members: by DN, or by uid.
const (
	attrMember       = "member"
	attrUniqueMember = "uniqueMember"
	attrMemberUID    = "memberUid"
)

// memberClasses are the classes that allow a group without members an attribute for them.
var memberClasses = map[string][]string{
	attrMember:       {"groupOfNames", "groupOfMembers"},
	attrUniqueMember: {"groupOfUniqueNames"},
	attrMemberUID:    {"posixGroup"},
}

// standings are the attributes in which a group can list the account, each with the value that stands for it. Grant takes
// the first that the group allows: where there are members by DN, who asks for them ignores memberUid (RFC 2307bis).
func (d *openLDAP) standings(account *goldap.Entry) []membership {
	return []membership{{attrMember, account.DN}, {attrUniqueMember, account.DN}, {attrMemberUID, d.name(account)}}
}

// entitlements takes for a group whatever lists the account, of what class it may be; so does inBulk.
func (d *openLDAP) entitlements(s *session, f *facts, e *goldap.Entry) ([]nhi.Entitlement, error) {
	var filters []string
	for _, m := range d.standings(e) {
		filters = append(filters, equals(m.attribute, m.value))
	}
	return d.groups(s, f, anyOf(filters...))
}

func (d *openLDAP) groups(s *session, f *facts, filter string) ([]nhi.Entitlement, error) {
	found, err := s.search(request(f.groups, goldap.ScopeWholeSubtree, filter, []string{"1.1"}), d.config.PageSize, true)
	if err != nil {
		return nil, err
	}
	var dns []string
	for _, group := range found {
		dns = append(dns, group.DN)
	}
	return groupEntitlements(dns)
}

// inBulk reads all groups with their members once: the server has no list of groups on the account's side unless it has
// the overlay memberof, and that one does not know what was there before it.
func (d *openLDAP) inBulk(s *session, f *facts) (func(*goldap.Entry) ([]nhi.Entitlement, error), error) {
	groups, err := s.search(request(f.groups, goldap.ScopeWholeSubtree,
		anyOf(present(attrMember), present(attrUniqueMember), present(attrMemberUID)),
		[]string{attrMember, attrUniqueMember, attrMemberUID}), d.config.PageSize, true)
	if err != nil {
		return nil, err
	}
	byKey, byUID, base := map[string][]string{}, map[string][]string{}, matchKey(f.baseDN)
	for _, group := range groups {
		for _, a := range group.Attributes { // Their subtypes, too, as in the filters of entitlements.
			for _, member := range a.Values {
				if strings.EqualFold(a.Name, attrMemberUID) {
					byUID[member] = append(byUID[member], group.DN)
				} else if key := matchKey(member); isBelow(key, base) {
					byKey[key] = append(byKey[key], group.DN)
				}
			}
		}
	}
	return func(e *goldap.Entry) ([]nhi.Entitlement, error) {
		return groupEntitlements(slices.Concat(byKey[matchKey(e.DN)], byUID[d.name(e)]))
	}, nil
}

// way lets the server say whether the group has an attribute or is of a class that allows it, as classes below that one
// allow it, too.
func (d *openLDAP) way(s *session, group, account *goldap.Entry) (membership, error) {
	for _, m := range d.standings(account) {
		filters := []string{present(m.attribute)}
		for _, class := range memberClasses[m.attribute] {
			filters = append(filters, equals("objectClass", class))
		}
		if ok, err := s.matches(group.DN, anyOf(filters...)); ok || err != nil {
			return m, err
		}
	}
	return membership{}, driver.Errorf(driver.Invalid, "%q is no group that accounts can be members of: it has no member, "+
		"uniqueMember or memberUid, and its class is none that is known to allow one; if it is a group all the same, put a first "+
		"member into it by hand", group.DN)
}

// ways asks for each value, with the rights and the matching that found the group: a group may have many members.
func (d *openLDAP) ways(s *session, group, account *goldap.Entry) ([]membership, error) {
	var found []membership
	for _, m := range d.standings(account) {
		ok, err := s.matches(group.DN, equals(m.attribute, m.value))
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, m)
		}
	}
	return found, nil
}

func (d *openLDAP) join(s *session, group string, m membership) error {
	err := s.modify(group, adding(m.attribute, m.value))
	if goldap.IsErrorWithCode(err, goldap.LDAPResultAttributeOrValueExists) {
		return nil
	}
	return err
}

// leave takes a member out of a group. A groupOfNames must have a member: the last one is exchanged for the placeholder,
// in one change. Who wants to be last is for the server to say, so that two who leave together leave the group intact.
func (d *openLDAP) leave(s *session, group string, m membership) error {
	err := s.modify(group, deleting(m.attribute, m.value))
	if goldap.IsErrorWithCode(err, goldap.LDAPResultObjectClassViolation) {
		placeholder := orDefault(d.config.PlaceholderMember, group)
		err = s.modify(group, adding(m.attribute, placeholder), deleting(m.attribute, m.value))
	}
	if goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchAttribute) {
		return nil
	}
	return err
}

// outlived is true where the server has no overlay refint, which it does not tell.
func (d *openLDAP) outlived() bool { return true }

func (d *openLDAP) revokeObserved(_ *session, _ *facts, _ *goldap.Entry, e nhi.Entitlement) error {
	return driver.Errorf(driver.Unsupported, "%s cannot be revoked here", e)
}

func (d *openLDAP) parents(s *session, f *facts, group string) ([]nhi.Entitlement, error) {
	return d.groups(s, f, anyOf(equals(attrMember, group), equals(attrUniqueMember, group)))
}

func (d *openLDAP) everywhere(*session, *facts, *goldap.Entry) ([]nhi.Entitlement, bool, error) {
	return nil, false, nil
}

func (d *openLDAP) given(*session, *facts, *goldap.Entry) ([]nhi.Entitlement, string, error) {
	return nil, "", nil
}
