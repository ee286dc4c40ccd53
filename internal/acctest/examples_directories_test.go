package acctest

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// directoriesExample lets the two directories of the testbed be those of the example, and makes their groups.
func directoriesExample(t *testing.T, e *exampleRun) {
	t.Helper()
	servers := testenv.Load(t)
	directory, domain := servers.LDAP, servers.AD
	groups := strings.ToLower("ou=groups," + domain.BaseDN)
	e.place("ldaps://ldap.example.com", directoryURL(directory))
	e.place("cn=nhi,ou=admins,dc=example,dc=com", directory.BindDN)
	e.place("ldaps://dc1.corp.example.com", directoryURL(domain))
	e.place("nhi@corp.example.com", domain.BindDN)
	e.place("OU=Service Accounts,DC=corp,DC=example,DC=com", "ou=accounts,"+domain.BaseDN)
	e.place("ou=groups,dc=corp,dc=example,dc=com", groups)
	e.place("dc=example,dc=com", directory.BaseDN)
	e.Setenv("NHI_DIRECTORY_PASSWORD", directory.Password)
	e.Setenv("NHI_DOMAIN_PASSWORD", domain.Password)
	e.trust(t, directory.CAFile, domain.CAFile)

	readers := ldap.NewAddRequest("cn=invoice readers,ou=groups,"+directory.BaseDN, nil)
	readers.Attribute("objectClass", []string{"groupOfNames"})
	readers.Attribute("member", []string{directory.RootDN})
	directoryMake(t, directory, readers)
	viewers := ldap.NewAddRequest("cn=billing viewers,"+groups, nil)
	viewers.Attribute("objectClass", []string{"group"})
	viewers.Attribute("sAMAccountName", []string{"billing viewers"})
	directoryMake(t, domain, viewers)
}

func directoryURL(d testenv.Directory) string {
	return "ldaps://" + net.JoinHostPort(d.Host, strconv.Itoa(d.Port))
}

// directoryMake makes an entry that is there while the test runs.
func directoryMake(t *testing.T, d testenv.Directory, entry *ldap.AddRequest) {
	t.Helper()
	ldapRoot(t, d, func(conn *ldap.Conn) error { return conn.Add(entry) })
	t.Cleanup(func() {
		ldapRoot(t, d, func(conn *ldap.Conn) error { return conn.Del(ldap.NewDelRequest(entry.DN, nil)) })
	})
}
