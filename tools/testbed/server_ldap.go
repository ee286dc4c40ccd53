package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// ldap is Debian's slapd, with the groups of RFC 2307 and overlays that keep memberships in order, or with the groups of RFC
// 2307bis, which define the same class in another way, and without these overlays. Debian's own directory is neither used
// nor started.
type ldap struct{ rfc2307bis bool }

const (
	slapdPath  = "/usr/sbin/slapd"
	ldapSuffix = "dc=nhi,dc=test"
	rfc2307    = "/etc/ldap/schema/nis.schema"

	membershipOverlays = `overlay memberof
overlay refint
refint_attributes member uniqueMember
refint_nothing    "cn=nobody,dc=nhi,dc=test"`
)

var (
	//go:embed ldap/slapd.conf
	slapdConf string
	//go:embed ldap/tree.ldif
	slapdTree string
	//go:embed ldap/rfc2307bis.schema
	rfc2307bisSchema string
)

func (l ldap) name() string {
	if l.rfc2307bis {
		return "ldap_rfc2307bis"
	}
	return "ldap"
}

// part is the part of all that is ours.
func (l ldap) part(all *testenv.Servers) *testenv.Directory {
	if l.rfc2307bis {
		return &all.LDAPBis
	}
	return &all.LDAP
}

func (ldap) install(ctx context.Context) error {
	if installed(slapdPath, "/usr/bin/ldapsearch") {
		return nil
	}
	return programs.Apt(ctx, os.Stderr, "slapd", "ldap-utils")
}

func installed(paths ...string) bool {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	return true
}

func (l ldap) start(_ context.Context, p *place, all *testenv.Servers) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	plain, err := freePort()
	if err != nil {
		return err
	}
	d := testenv.Directory{
		Host: "127.0.0.1", Port: port, PlainPort: plain, BaseDN: ldapSuffix,
		RootDN: "cn=root," + ldapSuffix, RootPassword: randomText(),
		BindDN: "cn=nhi,ou=admins," + ldapSuffix, Password: randomText(),
		ReaderDN: "cn=reader,ou=admins," + ldapSuffix, ReaderPassword: randomText(),
		CAFile: filepath.Join(p.dir, "ca.pem"),
	}
	*l.part(all) = d
	if err := serverHome(filepath.Join(p.dir, "tls"), nil, d.CAFile, d.Host); err != nil {
		return err
	}
	schema, overlays := rfc2307, membershipOverlays
	if l.rfc2307bis {
		schema, overlays = filepath.Join(p.dir, "rfc2307bis.schema"), ""
		if err := os.WriteFile(schema, []byte(rfc2307bisSchema), 0o600); err != nil {
			return err
		}
	}
	fill := strings.NewReplacer("@DIR@", p.dir, "@ROOT_PASSWORD@", d.RootPassword, "@NHI_PASSWORD@", d.Password,
		"@READER_PASSWORD@", d.ReaderPassword, "@GROUP_SCHEMA@", schema, "@OVERLAYS@", overlays)
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	conf := filepath.Join(p.dir, "slapd.conf")
	err = errors.Join(
		os.WriteFile(conf, []byte(fill.Replace(slapdConf)), 0o600),
		copyFile(filepath.Join(root, "examples", "platforms", "ldap", "access.conf"), filepath.Join(p.dir, "access.conf"), 0o600),
		os.Mkdir(filepath.Join(p.dir, "db"), 0o700),
	)
	if err != nil {
		return err
	}
	// A copy, because Ubuntu's AppArmor lets the installed one read its own directories only.
	slapd := filepath.Join(p.dir, "slapd")
	if err := copyFile(slapdPath, slapd, 0o755); err != nil {
		return err
	}
	if err := p.run(spawn{path: slapd, args: []string{"-Tadd", "-f", conf}}, fill.Replace(slapdTree)); err != nil {
		return err
	}
	return p.spawn(spawn{path: slapd, args: []string{
		"-f", conf, "-d", "0", "-h", fmt.Sprintf("ldap://%s:%d ldaps://%s:%d", d.Host, plain, d.Host, port),
	}})
}

func copyFile(from, to string, mode os.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, mode)
}

func (l ldap) health(ctx context.Context, all testenv.Servers) error {
	return directoryHealth(ctx, *l.part(&all))
}

// directoryHealth reads the directory's top as its administrator.
func directoryHealth(ctx context.Context, d testenv.Directory) error {
	url := "ldaps://" + d.Host + ":" + strconv.Itoa(d.Port)
	cmd := exec.CommandContext(ctx, "ldapsearch", "-x", "-LLL", "-o", "nettimeout=5", "-H", url, "-D", d.BindDN,
		"-y", "/dev/stdin", "-b", d.BaseDN, "-s", "base", "dn")
	cmd.Stdin = strings.NewReader(d.Password)
	cmd.Env = []string{"LDAPTLS_CACERT=" + d.CAFile, "LDAPTLS_REQCERT=demand"}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ldapsearch: %w: %s", err, output)
	}
	return nil
}

func (l ldap) describe(all testenv.Servers) string { return describeDirectory(*l.part(&all)) }

func describeDirectory(d testenv.Directory) string {
	return fmt.Sprintf("ldaps://%s:%d base %s", d.Host, d.Port, d.BaseDN)
}
