package ldap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// shape is what a group can look like.
type shape struct {
	// bis: it is one of the server with the schema of RFC 2307bis.
	bis     bool
	classes string
	// needs are attributes that the classes ask for.
	needs string
	// lists are the attributes in which it can list an account. Grant takes the first.
	lists string
}

// shapes are those of RFC 2307 and RFC 2307bis, and classes below them.
func shapes() map[string]shape {
	return map[string]shape{
		"names":                   {false, "groupOfNames", "member", "member"},
		"unique names":            {false, "groupOfUniqueNames", "uniqueMember", "uniqueMember"},
		"posix":                   {false, "posixGroup", "gidNumber", "memberUid"},
		"bis members":             {true, "groupOfMembers", "", "member"},
		"bis members and posix":   {true, "groupOfMembers posixGroup", "gidNumber", "member memberUid"},
		"bis names and posix":     {true, "groupOfNames posixGroup", "gidNumber member", "member memberUid"},
		"bis unique and posix":    {true, "groupOfUniqueNames posixGroup", "gidNumber uniqueMember", "uniqueMember memberUid"},
		"bis posix alone":         {true, "organizationalRole posixGroup", "gidNumber", "memberUid"},
		"below names":             {true, "nhiTeam", "member", "member"},
		"below members":           {true, "nhiCrew", "", "member"},
		"below members and posix": {true, "nhiCrew nhiUnixGroup", "gidNumber", "member memberUid"},
		"below posix":             {true, "organizationalRole nhiUnixGroup", "gidNumber", "memberUid"},
		"a class of its own":      {true, "nhiClub", "member", "member"},
	}
}

func newServerOf(t *testing.T, bis bool) *server {
	t.Helper()
	s := newServer(t, OpenLDAP)
	if bis {
		s.bed = testenv.Load(t).LDAPBis
	}
	return s
}

// shaped makes a group with a name that begins with prefix, and returns its DN.
func (s *server) shaped(t *testing.T, prefix string, g shape) string {
	t.Helper()
	cn := unique(prefix)
	dn := "cn=" + cn + ",ou=groups," + s.bed.BaseDN
	attributes := []string{"cn: " + cn}
	for need := range strings.FieldsSeq(g.needs) {
		value := map[string]string{"gidNumber": "4711", attrMember: s.bed.RootDN, attrUniqueMember: s.bed.RootDN}[need]
		attributes = append(attributes, need+": "+value)
	}
	s.addOf(t, dn, strings.Fields(g.classes), attributes...)
	return dn
}

// listed are the attributes in which a group lists the account, as the administrator sees it.
func (s *server) listed(t *testing.T, group, name string) []string {
	t.Helper()
	var found []string
	for _, attribute := range []string{attrMember, attrUniqueMember, attrMemberUID} {
		for _, value := range s.attribute(t, group, attribute) {
			if value == name || matchKey(value) == matchKey(s.accountDN(name)) {
				found = append(found, attribute)
			}
		}
	}
	return found
}

func (s *server) wantListedIn(t *testing.T, what, group, name string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.listed(t, group, name), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s: attributes that list the account (-want +got):\n%s", what, diff)
	}
}

// wantHeld reads the account singly and in bulk.
func wantHeld(t *testing.T, what string, c *client, ref nhi.Ref, want ...nhi.Entitlement) {
	t.Helper()
	single := read(t, c, ref)
	if diff := cmp.Diff(want, single.Entitlements, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s: entitlements (-want +got):\n%s", what, diff)
	}
	var swept []nhi.Account
	must(t, "sweep", c.Sweep(t.Context(), driver.SweepFilter{}, func(page []nhi.Account) error {
		swept = append(swept, slices.DeleteFunc(page, func(a nhi.Account) bool { return a.Ref != ref })...)
		return nil
	}))
	if diff := cmp.Diff([]nhi.Account{single}, swept); diff != "" {
		t.Errorf("%s: a sweep differs (-single +sweep):\n%s", what, diff)
	}
}

// TestGroupShapes has an account in every way in every shape of group.
func TestGroupShapes(t *testing.T) {
	t.Parallel()
	for name, g := range shapes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServerOf(t, g.bis)
			c := openClient(t, s.config())
			ref, group, lists := s.make(t, c), s.shaped(t, "Shape-", g), strings.Fields(g.lists)
			holds := entitlement(t, group)
			// byHand puts the account into the group by the attributes.
			byHand := func(attributes ...string) {
				for _, attribute := range attributes {
					value := s.accountDN(ref.Name)
					if attribute == attrMemberUID {
						value = ref.Name
					}
					s.modify(t, group, adding(attribute, value))
				}
			}

			must(t, "grant", c.Grant(t.Context(), ref, []nhi.Entitlement{holds}))
			s.wantListedIn(t, "granted", group, ref.Name, lists[0])
			wantHeld(t, "granted", c, ref, holds)
			must(t, "revoke", c.Revoke(t.Context(), ref, []nhi.Entitlement{holds}))
			s.wantListedIn(t, "revoked", group, ref.Name)
			wantHeld(t, "revoked", c, ref)

			for _, attribute := range lists {
				byHand(attribute)
				wantHeld(t, "by hand in "+attribute, c, ref, holds)
				must(t, "revoke", c.Revoke(t.Context(), ref, []nhi.Entitlement{holds}))
				s.wantListedIn(t, "revoked from "+attribute, group, ref.Name)
			}

			byHand(lists...)
			wantHeld(t, "by hand in all", c, ref, holds)
			must(t, "delete", c.DeleteAccount(t.Context(), ref))
			s.wantListedIn(t, "deleted", group, ref.Name)
			again, err := c.CreateAccount(t.Context(), driver.AccountSpec{Name: ref.Name})
			must(t, "create an account of the same name", err)
			wantHeld(t, "created again", c, again)
			must(t, "delete", c.DeleteAccount(t.Context(), again))
		})
	}
}

// TestLastOfAMixedGroup leaves the placeholder where the class asks for a member, and nothing in the other attribute.
func TestLastOfAMixedGroup(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, true)
	c := openClient(t, s.config())
	ref, g := s.make(t, c), shapes()["bis names and posix"]
	group := s.shaped(t, "last-", g)
	s.modify(t, group, replacing(attrMember, s.accountDN(ref.Name)), adding(attrMemberUID, ref.Name))
	must(t, "revoke", c.Revoke(t.Context(), ref, []nhi.Entitlement{entitlement(t, group)}))
	got := fmt.Sprint(s.attribute(t, group, attrMember), s.attribute(t, group, attrMemberUID))
	if want := fmt.Sprint([]string{group}, []string{}); got != want {
		t.Errorf("members %s, want %s", got, want)
	}
}

// TestStillListed has a group that lists the account in a way that only the group's administrator knows.
func TestStillListed(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, true)
	c := openClient(t, s.config())
	ref, group := s.make(t, c), s.shaped(t, "club-", shapes()["a class of its own"])
	holds := entitlement(t, group)
	s.modify(t, group, adding("nhiGuest", s.accountDN(ref.Name)))
	wantHeld(t, "as a guest", c, ref, holds)
	err := c.Revoke(t.Context(), ref, []nhi.Entitlement{holds})
	wantCode(t, c, "revoke", err, driver.Unsupported, "still shows it there")
	err = c.DeleteAccount(t.Context(), ref)
	wantCode(t, c, "delete", err, driver.Unsupported, "still shows it there")
	wantHeld(t, "after all", c, ref, holds)
	s.modify(t, group, deleting("nhiGuest", s.accountDN(ref.Name)))
	must(t, "delete", c.DeleteAccount(t.Context(), ref))
}

// TestGrantIsReadBack has a group whose members are hidden: what was granted cannot be seen, and is taken back, with the rest.
func TestGrantIsReadBack(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, false)
	c := openClient(t, s.config())
	ref, g := s.make(t, c), shapes()["names"]
	plain, dark := s.shaped(t, "plain-", g), s.shaped(t, "dark-", g)
	err := c.Grant(t.Context(), ref, []nhi.Entitlement{entitlement(t, plain), entitlement(t, dark)})
	wantCode(t, c, "grant", err, driver.Conflict, "does not show it there")
	for _, group := range []string{plain, dark} {
		s.wantListedIn(t, group, group, ref.Name)
	}
}

// TestGroupWithoutAnyMember is one of a class that says nothing, until it has its first member.
func TestGroupWithoutAnyMember(t *testing.T) {
	t.Parallel()
	s := newServerOf(t, true)
	c := openClient(t, s.config())
	ref, group := s.make(t, c), s.shaped(t, "club-", shape{classes: "nhiClub"})
	holds := []nhi.Entitlement{entitlement(t, group)}
	wantCode(t, c, "grant", c.Grant(t.Context(), ref, holds), driver.Invalid, "is no group")
	s.modify(t, group, adding(attrMember, s.bed.RootDN))
	must(t, "grant", c.Grant(t.Context(), ref, holds))
	s.wantListedIn(t, "granted", group, ref.Name, attrMember)
}

// TestGroupsOutOfView: what an account holds elsewhere than below groups_dn is not gone.
func TestGroupsOutOfView(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	wide := openClient(t, s.config())
	ref, group := s.make(t, wide), s.shaped(t, "Team-", shapes()["names"])
	held := []nhi.Entitlement{entitlement(t, group)}
	must(t, "grant", wide.Grant(t.Context(), ref, held))
	cfg := s.config()
	cfg.GroupsDN = "OU=accounts," + s.bed.BaseDN
	narrow := openClient(t, cfg)
	wantHeld(t, "narrowed", narrow, ref)
	wantCode(t, narrow, "revoke", narrow.Revoke(t.Context(), ref, held), driver.Invalid, "groups_dn")
	wantCode(t, narrow, "the spec", cfg.Spec().CheckRecorded(held), driver.Invalid, "groups_dn")
	wantHeld(t, "after the revocation", wide, ref, held...)
	cfg.GroupsDN = "OU=Groups," + s.bed.BaseDN
	must(t, "the spec", cfg.Spec().CheckRecorded(held))
	must(t, "revoke", openClient(t, cfg).Revoke(t.Context(), ref, held))
	wantHeld(t, "in the end", wide, ref)
}
