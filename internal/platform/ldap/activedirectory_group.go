package ldap

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// entitlements reads the account's own list of its groups, which a domain keeps complete for the groups of the domain, and
// its primary group, which is not in that list.
func (d *activeDirectory) entitlements(s *session, f *facts, e *goldap.Entry) ([]nhi.Entitlement, error) {
	dns, err := s.values(e, attrMemberOf)
	if err != nil {
		return nil, err
	}
	all, err := groupEntitlements(dns)
	if err != nil {
		return nil, err
	}
	if rid := e.GetEqualFoldAttributeValue(attrPrimaryGroup); rid != "" && rid != strconv.Itoa(domainUsers) {
		primary, err := d.primaryGroup(s, f, e)
		if err != nil {
			return nil, err
		}
		all = append(all, primary)
	}
	return nhi.SortEntitlements(all), nil
}

// inBulk asks for nothing more: the groups stand in the entry itself.
func (d *activeDirectory) inBulk(s *session, f *facts) (func(*goldap.Entry) ([]nhi.Entitlement, error), error) {
	return func(e *goldap.Entry) ([]nhi.Entitlement, error) { return d.entitlements(s, f, e) }, nil
}

// primaryGroup asks once for each group that is one.
func (d *activeDirectory) primaryGroup(s *session, f *facts, e *goldap.Entry) (nhi.Entitlement, error) {
	rid := e.GetEqualFoldAttributeValue(attrPrimaryGroup)
	if known, ok := f.primaryGroups.Load(rid); ok {
		return known.(nhi.Entitlement), nil //nolint:forcetypeassert // Nothing else is stored.
	}
	group, ok, err := s.entry("<SID="+sidText(f.domainSID)+"-"+rid+">", []string{"1.1"})
	if err != nil {
		return nhi.Entitlement{}, err
	}
	if !ok {
		return nhi.Entitlement{}, fmt.Errorf("primary group %s of %q: %w", rid, e.DN, errIncomplete)
	}
	found, err := groupEntitlement(group.DN)
	if err != nil {
		return nhi.Entitlement{}, err
	}
	found.Type = typePrimaryGroup
	f.primaryGroups.Store(rid, found)
	return found, nil
}

// sidText writes a binary SID as S-1-5-21-...
// (https://learn.microsoft.com/openspecs/windows_protocols/ms-dtyp/f992ad60-0fe4-4b87-9fed-beb478836861).
func sidText(sid []byte) string {
	if len(sid) < 8 || len(sid) != 8+4*int(sid[1]) {
		return ""
	}
	var authority uint64
	for _, b := range sid[2:8] {
		authority = authority<<8 | uint64(b)
	}
	text := []string{"S", strconv.Itoa(int(sid[0])), strconv.FormatUint(authority, 10)}
	for i := 8; i < len(sid); i += 4 {
		text = append(text, strconv.FormatUint(uint64(binary.LittleEndian.Uint32(sid[i:])), 10))
	}
	return strings.Join(text, "-")
}

func (d *activeDirectory) way(_ *session, group, account *goldap.Entry) (membership, error) {
	if !hasClass(group, "group") {
		return membership{}, driver.Errorf(driver.Invalid, "%q is no group that accounts can be members of", group.DN)
	}
	return membership{attrMember, account.DN}, nil
}

func (d *activeDirectory) ways(_ *session, _, account *goldap.Entry) ([]membership, error) {
	return []membership{{attrMember, account.DN}}, nil
}

func (d *activeDirectory) join(s *session, group string, m membership) error {
	return s.modifyPermissive(group, adding(m.attribute, m.value))
}

func (d *activeDirectory) leave(s *session, group string, m membership) error {
	return s.modifyPermissive(group, deleting(m.attribute, m.value))
}

// modifyPermissive changes an entry with Active Directory's control that lets adding what is there and deleting what is
// not succeed. Without it a domain refuses both with results that say something else, too.
func (s *session) modifyPermissive(dn string, c change) error {
	r := goldap.NewModifyRequest(dn, []goldap.Control{goldap.NewControlString(permissiveControl, true, "")})
	r.Changes = []goldap.Change{{
		Operation: c.operation, Modification: goldap.PartialAttribute{Type: c.attribute, Vals: c.values},
	}}
	if err := s.Modify(r); err != nil {
		return fmt.Errorf("change %q: %w", dn, explained(err))
	}
	return nil
}

// outlived is false: a domain removes them, also from groups that this login may not change.
func (d *activeDirectory) outlived() bool { return false }

// revokeObserved makes Domain Users the primary group, of which the account must be a member first, and takes the account
// out of what was its primary group: a domain makes it an ordinary member.
func (d *activeDirectory) revokeObserved(s *session, f *facts, account *goldap.Entry, e nhi.Entitlement) error {
	if e.Type != typePrimaryGroup {
		return driver.Errorf(driver.Unsupported, "%s cannot be revoked here", e)
	}
	users, ok, err := s.entry("<SID="+sidText(f.domainSID)+"-"+strconv.Itoa(domainUsers)+">", []string{"1.1"})
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("group Domain Users: %w", errIncomplete)
	}
	if err := d.join(s, users.DN, membership{attrMember, account.DN}); err != nil {
		return err
	}
	if err := s.modify(account.DN, replacing(attrPrimaryGroup, strconv.Itoa(domainUsers))); err != nil {
		return err
	}
	return d.leave(s, e.Target, membership{attrMember, account.DN})
}

func (d *activeDirectory) parents(s *session, _ *facts, group string) ([]nhi.Entitlement, error) {
	e, ok, err := s.entry(group, []string{d.asked(attrMemberOf)})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, driver.Errorf(driver.Conflict, "the group %q has gone while it was read", group)
	}
	dns, err := s.values(e, attrMemberOf)
	if err != nil {
		return nil, err
	}
	return groupEntitlements(dns)
}

// everywhere lets the domain walk through groups within groups by its rule "in chain"
// (https://learn.microsoft.com/openspecs/windows_protocols/ms-adts/1e889adc-b503-4423-8985-c28d5c7d4887). It does not follow
// the primary group.
func (d *activeDirectory) everywhere(s *session, f *facts, account *goldap.Entry) ([]nhi.Entitlement, bool, error) {
	filter := "(" + attrMember + ":" + inChain + ":=" + goldap.EscapeFilter(account.DN) + ")"
	found, err := s.search(request(f.root, goldap.ScopeWholeSubtree, filter, []string{"1.1"}), d.config.PageSize, false)
	if err != nil {
		return nil, false, err
	}
	var dns []string
	for _, group := range found {
		dns = append(dns, group.DN)
	}
	all, err := groupEntitlements(dns)
	return all, true, err
}

// given is the primary group where it is Domain Users: every account has it, so it is not listed.
func (d *activeDirectory) given(s *session, f *facts, account *goldap.Entry) ([]nhi.Entitlement, string, error) {
	if account.GetEqualFoldAttributeValue(attrPrimaryGroup) != strconv.Itoa(domainUsers) {
		return nil, "", nil
	}
	primary, err := d.primaryGroup(s, f, account)
	return []nhi.Entitlement{primary}, "primary group", err
}
