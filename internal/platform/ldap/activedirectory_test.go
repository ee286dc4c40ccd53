package ldap

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// TestOnePassword is about the one password of an account of a domain, and who has set it.
func TestOnePassword(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	c := openClient(t, s.config())
	ref := s.make(t, c)
	if c.Slots() != 1 || len(read(t, c, ref).Credentials) != 0 {
		t.Fatalf("a new account has %d slots and the credentials %+v", c.Slots(), read(t, c, ref).Credentials)
	}
	ours, dn := issue(t, c, ref), s.accountDN(ref.Name)
	_, err := c.Issue(t.Context(), ref, driver.IssueRequest{Label: "second"})
	wantCode(t, c, "a second credential", err, driver.Conflict, "1 credentials already")
	must(t, "login with ours", c.Verify(t.Context(), ours.Login, ours.Secret))
	must(t, "login with the DN", c.Verify(t.Context(), dn, ours.Secret))

	// Somebody resets the password; what was noted of ours is still there. Twice, because a domain accepts the last but one
	// for a while.
	theirs := newPassword("")
	s.modify(t, dn, replacing(attrUnicodePwd, unicodePwd(newPassword(""))))
	s.modify(t, dn, replacing(attrUnicodePwd, unicodePwd(theirs)))
	wantCode(t, c, "login with ours after a reset", c.Verify(t.Context(), ours.Login, ours.Secret), driver.Unauthenticated,
		"the password is wrong")
	got := read(t, c, ref).Credentials
	if len(got) != 1 || got[0].ID != otherPassword || got[0].CreatedAt.IsZero() {
		t.Fatalf("credentials after a reset by hand: %+v", got)
	}
	must(t, "revoke ours, which is gone", c.RevokeCredential(t.Context(), ref, ours.Credential.ID))
	must(t, "login by hand", c.Verify(t.Context(), dn, theirs))
	must(t, "revoke theirs", c.RevokeCredential(t.Context(), ref, otherPassword))
	wantCode(t, c, "login by hand", c.Verify(t.Context(), dn, theirs), driver.Unauthenticated, "")
	if got := read(t, c, ref).Credentials; len(got) != 0 {
		t.Errorf("credentials after revoking: %+v", got)
	}
}

// TestNotesOfOthers keeps what others wrote in the attributes that hold the mark and the credential.
func TestNotesOfOthers(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	c := openClient(t, s.config())
	name := unique("hand-")
	s.Foreign(t, name)
	dn := s.accountDN(name)
	t.Cleanup(func() { s.root(t, func(conn *session) error { return conn.remove(dn) }) })
	s.modify(t, dn, replacing(attrNote, "User_1 [x]"))
	ref := read(t, c, nhi.Ref{Name: name}).Ref
	must(t, "revoke", c.RevokeCredential(t.Context(), ref, otherPassword))
	issued, err := c.Issue(t.Context(), ref, driver.IssueRequest{Label: "a:b] ä"})
	must(t, "issue", err)
	if got := read(t, c, ref).Credentials; !slices.Equal(got, []nhi.Credential{issued.Credential}) {
		t.Errorf("credentials %+v, want %+v", got, issued.Credential)
	}
	mark := nhi.Mark{Stack: "s", Identity: "i"}
	must(t, "mark", c.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &mark}))
	if got := s.attribute(t, dn, attrText); !slices.Equal(got, []string{"made by hand [nhi:v1:s:i]"}) {
		t.Errorf("description %q", got)
	}
	note := s.attribute(t, dn, attrNote)[0]
	if !strings.HasPrefix(note, "User_1 [x] [nhi-credential:v1:") || strings.Contains(note, issued.Secret.Reveal()) {
		t.Errorf("%s is %q", attrNote, note)
	}
}

// TestDisabledSaysSo checks that a refused login says why.
func TestDisabledSaysSo(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	c := openClient(t, s.config())
	ref := s.make(t, c)
	issued := issue(t, c, ref)
	must(t, "suspend", c.Suspend(t.Context(), ref))
	wantCode(t, c, "login while suspended", c.Verify(t.Context(), issued.Login, issued.Secret), driver.Unauthenticated,
		"the account is disabled")
	must(t, "resume", c.Resume(t.Context(), ref))
	s.modify(t, s.accountDN(ref.Name), replacing(attrExpires, "116444736000000000")) // 1970.
	wantCode(t, c, "login after the end", c.Verify(t.Context(), issued.Login, issued.Secret), driver.Unauthenticated,
		"the account has expired")
	if got := read(t, c, ref).ExpiresAt; got.Unix() != 0 {
		t.Errorf("expires at %v, want 1970", got)
	}
}

// TestCreateLeavesNothing fails between the steps of making an account.
func TestCreateLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	cfg := s.config()
	cfg.BaseDN = "OU=locked," + s.bed.BaseDN
	c := openClient(t, cfg)
	name := unique("bot-")
	_, err := c.CreateAccount(t.Context(), driver.AccountSpec{Name: name})
	wantCode(t, c, "create without the right to set passwords", err, driver.PermissionDenied, "CN="+name)
	_, err = c.ReadAccount(t.Context(), nhi.Ref{Name: name})
	wantCode(t, c, "read", err, driver.NotFound, "")
}

// TestResumeGivesAPassword goes on where a killed run was: an account is made, switched off, and has no password.
func TestResumeGivesAPassword(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	c := openClient(t, s.config())
	name := unique("half-")
	dn := s.accountDN(name)
	s.add(t, dn, "objectClass: user", "sAMAccountName: "+name, "userAccountControl: 514")
	t.Cleanup(func() { s.root(t, func(conn *session) error { return conn.remove(dn) }) })
	ref := read(t, c, nhi.Ref{Name: name}).Ref
	must(t, "resume", c.Resume(t.Context(), ref))
	if got := read(t, c, ref); got.Status != nhi.Active || len(got.Credentials) != 0 {
		t.Errorf("status %q, credentials %+v; want active and none", got.Status, got.Credentials)
	}
	if got := s.attribute(t, dn, attrPasswordSet)[0]; got == "0" {
		t.Error("the account has no password")
	}
}

// TestPrimaryGroup shows a group that no list of members shows, and takes it away.
func TestPrimaryGroup(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	c := openClient(t, s.config())
	ref := s.make(t, c)
	dn, admins := s.accountDN(ref.Name), "CN=Domain Admins,CN=Users,"+s.bed.BaseDN
	s.modify(t, admins, adding(attrMember, dn))
	s.modify(t, dn, replacing(attrPrimaryGroup, "512"))
	s.modify(t, "CN=Domain Users,CN=Users,"+s.bed.BaseDN, deleting(attrMember, dn))
	want := nhi.Entitlement{Type: typePrimaryGroup, Target: entitlement(t, admins).Target}
	if got := read(t, c, ref).Entitlements; !slices.Equal(got, []nhi.Entitlement{want}) {
		t.Fatalf("holds %v, want %s", got, want)
	}
	holdings, err := c.Explain(t.Context(), ref)
	must(t, "explain", err)
	if !slices.ContainsFunc(holdings, func(h driver.Holding) bool { return slices.Equal(h.Via, []string{want.String()}) }) {
		t.Errorf("explained %v: nothing comes by %s", holdings, want)
	}
	// Changing what Domain Admins holds takes a domain admin.
	cfg := s.config()
	cfg.BindDN, cfg.Password = s.bed.RootDN, secret.New(s.bed.RootPassword)
	root := openClient(t, cfg)
	must(t, "revoke", root.Revoke(t.Context(), ref, []nhi.Entitlement{want}))
	if got := read(t, c, ref).Entitlements; len(got) != 0 {
		t.Errorf("holds %v after revoking", got)
	}
	if got := s.attribute(t, dn, attrPrimaryGroup); got[0] != strconv.Itoa(domainUsers) {
		t.Errorf("primary group %q", got)
	}
}

// TestRanges reads lists of groups that the server gives in parts.
func TestRanges(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	c := openClient(t, s.config())
	ref, want := s.make(t, c), nhi.SortEntitlements(s.Entitlements(t, 5))
	must(t, "grant", c.Grant(t.Context(), ref, want))
	inParts := openClient(t, s.config())
	inParts.dialect = &activeDirectory{config: inParts.config, rangeStep: 2}
	if got := read(t, inParts, ref).Entitlements; !slices.Equal(got, want) {
		t.Errorf("read in parts %v, want %v", got, want)
	}
	swept := false
	must(t, "sweep", inParts.Sweep(t.Context(), driver.SweepFilter{}, func(page []nhi.Account) error {
		for _, account := range page {
			if account.Ref == ref {
				swept = slices.Equal(account.Entitlements, want)
			}
		}
		return nil
	}))
	if !swept {
		t.Error("the sweep in parts does not show the account with its groups")
	}
}

// TestProbeOfAWeakLogin says before anything is tried that a login may make no accounts.
func TestProbeOfAWeakLogin(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	cfg := s.config()
	cfg.BindDN, cfg.Password = s.bed.ReaderDN, secret.New(s.bed.ReaderPassword)
	target, err := openClient(t, cfg).Probe(t.Context())
	if err != nil || len(target.Lacking) != 1 || !strings.Contains(target.Lacking[0], "may not create users below") {
		t.Errorf("a reader lacks %q (%v)", target.Lacking, err)
	}
	if target.Realm == "" || !strings.HasPrefix(target.ID, target.Realm+"/") {
		t.Errorf("target %q in realm %q", target.ID, target.Realm)
	}
}

func TestPlainConnectionIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, ActiveDirectory)
	cfg := s.config()
	cfg.URL = "ldap://" + s.bed.Host + ":" + strconv.Itoa(s.bed.PlainPort)
	c := openClient(t, cfg)
	_, err := c.Probe(t.Context())
	wantCode(t, c, "plain login", err, driver.Invalid, "use ldaps:// or start_tls")
	cfg.StartTLS = true
	_, err = openClient(t, cfg).Probe(t.Context())
	must(t, "login with StartTLS", err)
}
