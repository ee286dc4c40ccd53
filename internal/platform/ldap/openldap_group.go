package ldap

import (
	"slices"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// The classes of groups, and the attribute in which each lists its members: by DN, or by uid.
const (
	attrMember       = "member"
	attrUniqueMember = "uniqueMember"
	attrMemberUID    = "memberUid"

	classPosixGroup = "posixGroup"
)

const groupFilter = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))"

func (d *openLDAP) entitlements(s *session, f *facts, e *goldap.Entry) ([]nhi.Entitlement, error) {
	filter := anyOf(byDN(e.DN), allOf(equals("objectClass", classPosixGroup), equals(attrMemberUID, d.name(e))))
	return d.groups(s, f, filter)
}

// byDN finds the groups of which the entry with that DN is a member.
func byDN(dn string) string { return anyOf(equals(attrMember, dn), equals(attrUniqueMember, dn)) }

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
	groups, err := s.search(request(f.groups, goldap.ScopeWholeSubtree, groupFilter,
		[]string{"objectClass", attrMember, attrUniqueMember, attrMemberUID}), d.config.PageSize, true)
	if err != nil {
		return nil, err
	}
	byKey, byUID, base := map[string][]string{}, map[string][]string{}, matchKey(f.baseDN)
	for _, group := range groups {
		members := slices.Concat(group.GetEqualFoldAttributeValues(attrMember), group.GetEqualFoldAttributeValues(attrUniqueMember))
		for _, member := range members {
			if key := matchKey(member); isBelow(key, base) {
				byKey[key] = append(byKey[key], group.DN)
			}
		}
		if hasClass(group, classPosixGroup) {
			for _, uid := range group.GetEqualFoldAttributeValues(attrMemberUID) {
				byUID[uid] = append(byUID[uid], group.DN)
			}
		}
	}
	return func(e *goldap.Entry) ([]nhi.Entitlement, error) {
		return groupEntitlements(slices.Concat(byKey[matchKey(e.DN)], byUID[d.name(e)]))
	}, nil
}

func (d *openLDAP) memberships(group, account *goldap.Entry) []membership {
	var all []membership
	if hasClass(group, "groupOfNames") {
		all = append(all, membership{attrMember, account.DN})
	}
	if hasClass(group, "groupOfUniqueNames") {
		all = append(all, membership{attrUniqueMember, account.DN})
	}
	if hasClass(group, classPosixGroup) {
		all = append(all, membership{attrMemberUID, d.name(account)})
	}
	return all
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
	return d.groups(s, f, byDN(group))
}

func (d *openLDAP) everywhere(*session, *facts, *goldap.Entry) ([]nhi.Entitlement, bool, error) {
	return nil, false, nil
}

func (d *openLDAP) given(*session, *facts, *goldap.Entry) ([]nhi.Entitlement, string, error) {
	return nil, "", nil
}
