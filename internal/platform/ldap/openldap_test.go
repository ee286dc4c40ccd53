package ldap

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// make creates an account, which is removed when the test ends.
func (s *server) make(t *testing.T, c *client) nhi.Ref {
	t.Helper()
	ref, err := c.CreateAccount(t.Context(), driver.AccountSpec{
		Name: unique("bot-"), Mark: nhi.Mark{Stack: unique("s"), Identity: "billing-agent"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d := openClient(t, s.config())
		if err := d.DeleteAccount(context.WithoutCancel(t.Context()), ref); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return ref
}

func read(t *testing.T, c *client, ref nhi.Ref) nhi.Account {
	t.Helper()
	account, err := c.ReadAccount(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func issue(t *testing.T, c *client, ref nhi.Ref) driver.Issued {
	t.Helper()
	issued, err := c.Issue(t.Context(), ref, driver.IssueRequest{Label: unique("l")})
	if err != nil {
		t.Fatalf("issue: %v", err)
	}
	return issued
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func wantCode(t *testing.T, c *client, what string, err error, want driver.Code, text string) {
	t.Helper()
	if err == nil || c.Classify(err).Code != want || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want code %q and %q", what, err, want, text)
	}
}

// attribute reads an attribute by hand.
func (s *server) attribute(t *testing.T, dn, name string) []string {
	t.Helper()
	var values []string
	s.root(t, func(conn *session) error {
		e, ok, err := conn.entry(dn, []string{name})
		if err == nil && !ok {
			t.Errorf("there is no %q", dn)
		} else if err == nil {
			values = e.GetEqualFoldAttributeValues(name)
		}
		return err
	})
	return values
}

// TestLastMember takes the last member out of groups that must have one.
func TestLastMember(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	for name, test := range map[string]struct{ placeholder, class, attribute string }{
		"own name":   {"", "groupOfNames", attrMember},
		"unique":     {"", "groupOfUniqueNames", attrUniqueMember},
		"configured": {"cn=nobody," + s.bed.BaseDN, "groupOfNames", attrMember},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := s.config()
			cfg.PlaceholderMember = test.placeholder
			c := openClient(t, cfg)
			ref := s.make(t, c)
			cn := unique("last-")
			group := "cn=" + cn + ",ou=groups," + s.bed.BaseDN
			s.add(t, group, "objectClass: "+test.class, "cn: "+cn, test.attribute+": "+s.accountDN(ref.Name))
			holds := []nhi.Entitlement{entitlement(t, group)}
			if got := read(t, c, ref).Entitlements; !slices.Equal(got, holds) {
				t.Fatalf("holds %v, want %v", got, holds)
			}
			want := []string{orDefault(test.placeholder, group)}
			must(t, "revoke", c.Revoke(t.Context(), ref, holds))
			if got := s.attribute(t, group, test.attribute); !slices.Equal(got, want) {
				t.Errorf("members %q, want the placeholder %q", got, want)
			}
			must(t, "grant", c.Grant(t.Context(), ref, holds))
			must(t, "revoke again", c.Revoke(t.Context(), ref, holds))
			if got := s.attribute(t, group, test.attribute); !slices.Equal(got, want) {
				t.Errorf("members %q, want the placeholder %q", got, want)
			}
		})
	}
}

// TestDeleteOfTheLastMember has an account that is the only member of a group. Others' placeholders stay.
func TestDeleteOfTheLastMember(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	c := openClient(t, s.config())
	ref, cn := s.make(t, c), unique("last-")
	group, theirs := "cn="+cn+",ou=groups,"+s.bed.BaseDN, "cn=dummy,"+s.bed.BaseDN
	s.add(t, group, "objectClass: groupOfNames", "cn: "+cn, "member: "+s.accountDN(ref.Name))
	must(t, "delete", c.DeleteAccount(t.Context(), ref))
	if got := s.attribute(t, group, attrMember); !slices.Equal(got, []string{group}) {
		t.Errorf("members %q, want the group itself", got)
	}
	s.modify(t, group, replacing(attrMember, theirs))
	again := s.make(t, c)
	e := entitlement(t, group)
	must(t, "grant", c.Grant(t.Context(), again, []nhi.Entitlement{e}))
	must(t, "revoke", c.Revoke(t.Context(), again, []nhi.Entitlement{e}))
	if got := s.attribute(t, group, attrMember); !slices.Equal(got, []string{theirs}) {
		t.Errorf("members %q, want the placeholder of others %q", got, theirs)
	}
}

// TestPasswordsOfOthers has passwords that were set by hand, one of them in clear.
func TestPasswordsOfOthers(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	c := openClient(t, s.config())
	name := unique("hand-")
	s.Foreign(t, name)
	dn := s.accountDN(name)
	s.modify(t, dn, replacing(attrPassword, "in clear"))
	s.modify(t, dn, adding(attrPassword, "{SSHA}"+"bm90IHJlYWxseSBhIGhhc2ggYnV0IGxvbmcgZW5vdWdo"))
	ref := read(t, c, nhi.Ref{Name: name}).Ref
	t.Cleanup(func() { s.root(t, func(conn *session) error { return conn.remove(dn) }) })
	want := nhi.Credential{ID: otherPassword, Label: otherPassword}
	if got := read(t, c, ref).Credentials; !slices.Equal(got, []nhi.Credential{want}) {
		t.Errorf("credentials %+v, want %+v", got, want)
	}
	ours := issue(t, c, ref)
	_, err := c.Issue(t.Context(), ref, driver.IssueRequest{Label: "third"})
	wantCode(t, c, "a third credential", err, driver.Conflict, "2 credentials already")

	must(t, "suspend", c.Suspend(t.Context(), ref))
	wantCode(t, c, "login by hand while suspended", c.Verify(t.Context(), dn, secret.New("in clear")), driver.Unauthenticated, "")
	must(t, "resume", c.Resume(t.Context(), ref))
	must(t, "login by hand", c.Verify(t.Context(), dn, secret.New("in clear")))

	must(t, "revoke", c.RevokeCredential(t.Context(), ref, otherPassword))
	wantCode(t, c, "login by hand", c.Verify(t.Context(), dn, secret.New("in clear")), driver.Unauthenticated, "")
	must(t, "login with ours", c.Verify(t.Context(), ours.Login, ours.Secret))
	if got := read(t, c, ref).Credentials; !slices.Equal(got, []nhi.Credential{ours.Credential}) {
		t.Errorf("credentials %+v, want ours", got)
	}
}

// TestSuspendIsTwofold suspends with the overlay ppolicy and as if there were none. A credential that is issued meanwhile
// does not let the account in.
func TestSuspendIsTwofold(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	for name, overlay := range map[string]bool{"with ppolicy": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := openClient(t, s.config())
			ref := s.make(t, c)
			if !c.known.ppolicy {
				t.Fatal("the server of the testbed has the overlay, and the driver does not see it")
			}
			c.known.ppolicy = overlay
			before := issue(t, c, ref)
			must(t, "suspend", c.Suspend(t.Context(), ref))
			during := issue(t, c, ref)
			dn := s.accountDN(ref.Name)
			locked := s.attribute(t, dn, attrLocked)
			if overlay != slices.Equal(locked, []string{lockedForever}) {
				t.Errorf("%s is %q", attrLocked, locked)
			}
			s.modify(t, dn, replacing(attrLocked)) // Somebody lifts the overlay's lock.
			for what, issued := range map[string]driver.Issued{"before": before, "during": during} {
				err := c.Verify(t.Context(), issued.Login, issued.Secret)
				wantCode(t, c, "login with what was issued "+what, err, driver.Unauthenticated, "")
			}
			account := read(t, c, ref)
			if want := []nhi.Credential{before.Credential, during.Credential}; !slices.Equal(account.Credentials, want) ||
				account.Status != nhi.Suspended {
				t.Errorf("status %q, credentials %+v, want %+v", account.Status, account.Credentials, want)
			}
			must(t, "revoke", c.RevokeCredential(t.Context(), ref, before.Credential.ID))
			must(t, "resume", c.Resume(t.Context(), ref))
			must(t, "login after resume", c.Verify(t.Context(), during.Login, during.Secret))
		})
	}
}

// TestSuspendGoesOn begins where a killed run was between locking a password and removing the one that works.
func TestSuspendGoesOn(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	c := openClient(t, s.config())
	ref := s.make(t, c)
	issued, dn := issue(t, c, ref), s.accountDN(ref.Name)
	value := s.attribute(t, dn, attrPassword)[0]
	s.modify(t, dn, adding(attrPassword, lockedPrefix+value))
	s.modify(t, dn, adding(attrPassword, suspendedValue))
	if got := read(t, c, ref); got.Status != nhi.Active || len(got.Credentials) != 1 {
		t.Errorf("half suspended: status %q, credentials %+v; want active and one", got.Status, got.Credentials)
	}
	must(t, "suspend", c.Suspend(t.Context(), ref))
	wantCode(t, c, "login", c.Verify(t.Context(), issued.Login, issued.Secret), driver.Unauthenticated, "")
	must(t, "resume", c.Resume(t.Context(), ref))
	must(t, "login", c.Verify(t.Context(), issued.Login, issued.Secret))
	if got := s.attribute(t, dn, attrPassword); !slices.Equal(got, []string{value}) {
		t.Errorf("%d values are left, want the one from the beginning", len(got))
	}
}

// TestAccountWithObligatoryPassword uses simpleSecurityObject, which must have a password, and SSHA512.
func TestAccountWithObligatoryPassword(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	cfg := s.config()
	cfg.ObjectClass, cfg.PasswordScheme = ClassAccount, SchemeSSHA512
	c := openClient(t, cfg)
	ref, err := c.CreateAccount(t.Context(), driver.AccountSpec{Name: unique("bot-"), Suspended: true})
	must(t, "create", err)
	must(t, "resume", c.Resume(t.Context(), ref))
	if got := read(t, c, ref); got.Status != nhi.Active || len(got.Credentials) != 0 {
		t.Errorf("a new account: status %q, credentials %+v", got.Status, got.Credentials)
	}
	for range 2 {
		issued := issue(t, c, ref)
		must(t, "login", c.Verify(t.Context(), issued.Login, issued.Secret))
		must(t, "revoke", c.RevokeCredential(t.Context(), ref, issued.Credential.ID))
		wantCode(t, c, "login", c.Verify(t.Context(), issued.Login, issued.Secret), driver.Unauthenticated, "")
	}
	// One that was made by hand has nothing but its password.
	dn := s.accountDN(ref.Name)
	s.modify(t, dn, replacing(attrPassword, "by hand"))
	must(t, "revoke", c.RevokeCredential(t.Context(), ref, otherPassword))
	if got := s.attribute(t, dn, attrPassword); !slices.Equal(got, []string{noPassword}) {
		t.Errorf("passwords %q, want one that is none", got)
	}
	must(t, "delete", c.DeleteAccount(t.Context(), ref))
}

// TestIssueAtTheSameTime lets several runs take the last slots.
func TestIssueAtTheSameTime(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	c, other := openClient(t, s.config()), openClient(t, s.config())
	ref := s.make(t, c)
	var group sync.WaitGroup
	issued, errs := make([]driver.Issued, 8), make([]error, 8)
	for i := range issued {
		group.Go(func() {
			issued[i], errs[i] = []*client{c, other}[i%2].Issue(t.Context(), ref, driver.IssueRequest{Label: unique("l")})
		})
	}
	group.Wait()
	var made []string
	for i, err := range errs {
		if err != nil {
			wantCode(t, c, "issue", err, driver.Conflict, "")
			continue
		}
		made = append(made, issued[i].Credential.ID)
		must(t, "login", c.Verify(t.Context(), issued[i].Login, issued[i].Secret))
	}
	var listed []string
	for _, credential := range read(t, c, ref).Credentials {
		listed = append(listed, credential.ID)
	}
	slices.Sort(made)
	slices.Sort(listed)
	if len(made) > 2 || !slices.Equal(made, listed) {
		t.Errorf("issued %q, listed %q", made, listed)
	}
}

// TestHiddenIsNotAbsent has logins that the server shows nothing, or only a part.
func TestHiddenIsNotAbsent(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	ref := s.make(t, openClient(t, s.config()))
	cfg := s.config()
	cfg.BindDN, cfg.Password = strings.Replace(s.bed.ReaderDN, "cn=reader", "cn=blind", 1), secret.New(s.bed.ReaderPassword)
	blind := openClient(t, cfg)
	for _, r := range []nhi.Ref{ref, {Name: ref.Name}} {
		_, err := blind.ReadAccount(t.Context(), r)
		wantCode(t, blind, "read by a login that sees nothing", err, driver.PermissionDenied, "may not see")
	}
	wantCode(t, blind, "delete", blind.DeleteAccount(t.Context(), ref), driver.PermissionDenied, "may not see")
	for what, sweep := range map[string]func() error{
		"sweep": func() error {
			return blind.Sweep(t.Context(), driver.SweepFilter{}, func([]nhi.Account) error { return nil })
		},
		"explain all": func() error { return blind.ExplainAll(t.Context(), func([]driver.Explained) error { return nil }) },
	} {
		wantCode(t, blind, what, sweep(), driver.PermissionDenied, "may not see")
	}

	s.Entitlements(t, 12)
	cfg.BindDN = strings.Replace(s.bed.ReaderDN, "cn=reader", "cn=limited", 1)
	limited := openClient(t, cfg)
	err := limited.Sweep(t.Context(), driver.SweepFilter{}, func([]nhi.Account) error { return nil })
	wantCode(t, limited, "sweep by a login with limits", err, driver.PermissionDenied, "raise its limits")
}

// TestLargeGroup reads a group of many members, in bulk and singly.
func TestLargeGroup(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	c := openClient(t, s.config())
	ref, group := s.make(t, c), s.group(t, 0)
	many := make([]string, 2500)
	for i := range many {
		many[i] = "uid=" + unique("m-") + ",ou=elsewhere," + s.bed.BaseDN
	}
	s.modify(t, group, adding(attrMember, many...))
	e := entitlement(t, group)
	must(t, "grant", c.Grant(t.Context(), ref, []nhi.Entitlement{e}))
	want := read(t, c, ref)
	if !slices.Equal(want.Entitlements, []nhi.Entitlement{e}) {
		t.Errorf("holds %v", want.Entitlements)
	}
	found := false
	must(t, "sweep", c.Sweep(t.Context(), driver.SweepFilter{}, func(page []nhi.Account) error {
		for _, account := range page {
			found = found || account.Ref == ref && slices.Equal(account.Entitlements, want.Entitlements)
		}
		return nil
	}))
	if !found {
		t.Error("the sweep does not show the account with its group")
	}
}

// TestOtherSpellings has names that the directory takes for another one.
func TestOtherSpellings(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	c := openClient(t, s.config())
	ref := s.make(t, c)
	_, err := c.ReadAccount(t.Context(), nhi.Ref{Name: strings.ToUpper(ref.Name)})
	wantCode(t, c, "another spelling of the account", err, driver.Invalid, "write it so")
	_, err = c.CreateAccount(t.Context(), driver.AccountSpec{Name: strings.ToUpper(ref.Name)})
	wantCode(t, c, "create in another spelling", err, driver.AlreadyExists, ref.Name)

	name := unique("two  spaces-")
	group := "cn=" + name + ",ou=groups," + s.bed.BaseDN
	s.add(t, group, "objectClass: groupOfNames", "cn: "+name, "member: "+s.bed.RootDN)
	err = c.Grant(t.Context(), ref, []nhi.Entitlement{entitlement(t, strings.Replace(group, "  ", " ", 1))})
	wantCode(t, c, "another spelling of the group", err, driver.Invalid, "write that")
	err = c.Grant(t.Context(), ref, []nhi.Entitlement{entitlement(t, "ou=groups,"+s.bed.BaseDN)})
	wantCode(t, c, "what is no group", err, driver.Invalid, "is no group")
}

// TestMovedAccount finds an account by its id where somebody moved it.
func TestMovedAccount(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	c := openClient(t, s.config())
	ref, unit := s.make(t, c), unique("unit-")
	s.add(t, "ou="+unit+","+s.bed.BaseDN, "objectClass: organizationalUnit", "ou: "+unit)
	to := "ou=" + unit + "," + s.bed.BaseDN
	s.root(t, func(conn *session) error {
		return conn.ModifyDN(goldap.NewModifyDNRequest(s.accountDN(ref.Name), "uid="+ref.Name, true, to))
	})
	if got := read(t, c, ref); got.Ref != ref {
		t.Errorf("read %+v, want %+v", got.Ref, ref)
	}
	_, err := c.ReadAccount(t.Context(), nhi.Ref{Name: ref.Name})
	wantCode(t, c, "read by name", err, driver.NotFound, "no account")
	s.root(t, func(conn *session) error { return conn.remove("uid=" + ref.Name + "," + to) })
}
