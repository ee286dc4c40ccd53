package ldap

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func TestOpenLDAPConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newServer(t, OpenLDAP))
}

func TestActiveDirectoryConformance(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newServer(t, ActiveDirectory))
}

// server is a real directory of the testbed. The driver logs in with the rights that the guide asks for; what is done by
// hand here, the administrator of the whole directory does.
type server struct {
	dialect Dialect
	bed     testenv.Directory
}

func newServer(t *testing.T, d Dialect) *server {
	t.Helper()
	beds := testenv.Load(t)
	s := &server{dialect: d, bed: beds.LDAP}
	if d == ActiveDirectory {
		s.bed = beds.AD
	}
	if s.bed.Host == "" {
		t.Fatalf("the testbed has no %s", d)
	}
	return s
}

func (s *server) config() Config {
	return Config{
		Dialect: s.dialect, URL: "ldaps://" + net.JoinHostPort(s.bed.Host, strconv.Itoa(s.bed.Port)), CAFile: s.bed.CAFile,
		BindDN: s.bed.BindDN, Password: secret.New(s.bed.Password), BaseDN: "ou=accounts," + s.bed.BaseDN, PageSize: 40,
	}
}

func openClient(t *testing.T, cfg Config) *client {
	t.Helper()
	c, err := open(cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// root runs work as the administrator of the directory. It works in cleanups, too, when the test's context has ended.
func (s *server) root(t *testing.T, work func(conn *session) error) {
	t.Helper()
	cfg := s.config()
	cfg.BindDN, cfg.Password = s.bed.RootDN, secret.New(s.bed.RootPassword)
	c, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.pool.close()
	if err := c.pool.with(context.WithoutCancel(t.Context()), work); err != nil {
		t.Fatalf("by hand: %v", err)
	}
}

// add makes an entry by hand; attributes are "name: value".
func (s *server) add(t *testing.T, dn string, attributes ...string) {
	t.Helper()
	s.addOf(t, dn, nil, attributes...)
}

// addOf makes an entry of several classes.
func (s *server) addOf(t *testing.T, dn string, classes []string, attributes ...string) {
	t.Helper()
	r := goldap.NewAddRequest(dn, nil)
	if classes != nil {
		r.Attribute("objectClass", classes)
	}
	for _, a := range attributes {
		name, value, _ := strings.Cut(a, ": ")
		r.Attribute(name, []string{value})
	}
	s.root(t, func(conn *session) error {
		if err := conn.Add(r); err != nil {
			return fmt.Errorf("add %q: %w", dn, err)
		}
		return nil
	})
}

func (s *server) modify(t *testing.T, dn string, changes ...change) {
	t.Helper()
	s.root(t, func(conn *session) error { return conn.modify(dn, changes...) })
}

func unique(prefix string) string { return prefix + strings.ToLower(rand.Text()[:10]) }

func (s *server) Spec() driver.Spec { return Spec(s.dialect) }

func (s *server) Open(t *testing.T) driver.Driver { return openClient(t, s.config()) }

// group makes a group of the i-th sort, with a name that is hard to write, and returns its DN as the directory has it.
func (s *server) group(t *testing.T, i int) string {
	t.Helper()
	awkward := []string{"", ` "all", Really\`, " <1+1=2>; #", " Größe (*)"}[i%4]
	name := unique("Readers-") + awkward
	dn := "cn=" + escapeValue(name) + ",ou=groups," + s.bed.BaseDN
	switch {
	case s.dialect == ActiveDirectory:
		s.add(t, dn, "objectClass: group", "sAMAccountName: "+unique("g-"))
	case i%3 == 0:
		s.add(t, dn, "objectClass: groupOfNames", "cn: "+name, "member: "+s.bed.RootDN)
	case i%3 == 1:
		s.add(t, dn, "objectClass: groupOfUniqueNames", "cn: "+name, "uniqueMember: "+s.bed.RootDN)
	default:
		s.add(t, dn, "objectClass: posixGroup", "cn: "+name, "gidNumber: 4711")
	}
	return dn
}

func entitlement(t *testing.T, dn string) nhi.Entitlement {
	t.Helper()
	e, err := groupEntitlement(dn)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *server) Entitlements(t *testing.T, n int) []nhi.Entitlement {
	t.Helper()
	es := make([]nhi.Entitlement, n)
	for i := range es {
		es[i] = entitlement(t, s.group(t, i))
	}
	return es
}

func (s *server) SharedEntitlement(t *testing.T) nhi.Entitlement {
	t.Helper()
	return s.Entitlements(t, 1)[0]
}

func (s *server) accountDN(name string) string {
	attribute := map[Dialect]string{OpenLDAP: "uid", ActiveDirectory: "cn"}[s.dialect]
	return attribute + "=" + escapeValue(name) + ",ou=accounts," + s.bed.BaseDN
}

func (s *server) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	dn := s.accountDN(name)
	if s.dialect == ActiveDirectory {
		s.add(t, dn, "objectClass: user", "sAMAccountName: "+name, "description: made by hand", "userAccountControl: 514")
		s.modify(t, dn, replacing(attrUnicodePwd, unicodePwd(newPassword(name))), replacing(attrControl, "512"))
	} else {
		s.add(t, dn, "objectClass: inetOrgPerson", "uid: "+name, "cn: By Hand", "sn: Hand", "description: made by hand",
			"userPassword: "+rand.Text())
		s.modify(t, dn, adding(attrText, "for invoices"))
	}
	for _, e := range holds {
		s.GrantByHand(t, name, e)
	}
}

func (s *server) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	s.root(t, func(conn *session) error {
		group, ok, err := conn.entry(e.Target, []string{"objectClass"})
		if err != nil || !ok {
			return fmt.Errorf("group %q: %t, %w", e.Target, ok, err)
		}
		switch {
		case hasClass(group, "posixGroup"):
			return conn.modify(group.DN, adding(attrMemberUID, name))
		case hasClass(group, "groupOfUniqueNames"):
			return conn.modify(group.DN, adding(attrUniqueMember, s.accountDN(name)))
		default: // As somebody writes it by hand.
			return conn.modify(group.DN, adding(attrMember, strings.Replace(strings.ToUpper(s.accountDN(name)), ",OU=", ", OU=", 1)))
		}
	})
}

func (s *server) MissingEntitlement(t *testing.T) (nhi.Entitlement, bool) {
	t.Helper()
	return entitlement(t, "cn="+unique("absent-")+",ou=groups,"+s.bed.BaseDN), true
}

func (s *server) HostileNames() []string {
	return []string{
		"#leading", unique("a,ou=x"), unique(`q"`), unique("a+uid=b"), unique("a;b"), unique(`back\`), unique(`\2c`), unique("<a>"), unique("a=b"),
		unique("=")[:9], unique("A")[:9], unique("a.")[:9] + ".", unique("a@")[:9], unique("a b")[:9], unique("x$")[:9], unique("{SSHA}")[:9],
	}
}

func (s *server) Settings() map[string]string { return nil }

func (s *server) Secrets() []secret.Value { return []secret.Value{secret.New(s.bed.Password)} }

func (s *server) Many() int { return 100 }

func (s *server) Unsupported() map[string]string { return nil }
