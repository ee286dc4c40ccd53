package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// activeDirectory is Samba as a domain controller. Of its services only LDAP runs.
type activeDirectory struct{}

const (
	sambaPath = "/usr/sbin/samba"
	adSuffix  = "DC=nhi,DC=test"
	// debianPython is the one that has Samba's modules; python3 on PATH may be another.
	debianPython = "/usr/bin/python3"
)

//go:embed ldap/domain.py
var fillDomain string

func (activeDirectory) name() string { return "active_directory" }

func (activeDirectory) install(ctx context.Context) error {
	if !installed(sambaPath, "/usr/bin/samba-tool", "/usr/share/samba/setup", "/usr/bin/ldapsearch") {
		err := programs.Apt(ctx, os.Stderr, "samba-ad-dc", "samba-ad-provision", "python3-samba", "samba-dsdb-modules",
			"samba-vfs-modules", "winbind", "ldap-utils")
		if err != nil {
			return err
		}
	}
	_, err := emptyDomain(ctx)
	return err
}

// emptyDomain returns the directory of a domain with nothing in it. It is made once per machine and version of Samba, as
// that takes ten seconds, and copied for every start.
func emptyDomain(ctx context.Context) (string, error) {
	version, err := exec.CommandContext(ctx, sambaPath, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("samba --version: %w", err)
	}
	name := strings.ReplaceAll(strings.TrimSpace("samba-domain-"+strings.TrimPrefix(string(version), "Version ")), "/", "_")
	return programs.Cached(ctx, name, func(temp string) error {
		cmd := exec.CommandContext(ctx, "samba-tool", "domain", "provision", "--realm=NHI.TEST", "--domain=NHI",
			"--server-role=dc", "--dns-backend=NONE", "--adminpass=Until-1t-starts", "--targetdir="+temp,
			"--host-ip=127.0.0.1", "--host-name=dc1", "--option=interfaces=127.0.0.1", "--option=bind interfaces only=yes")
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("samba-tool domain provision: %w: %s", err, output)
		}
		return nil
	})
}

func (activeDirectory) start(ctx context.Context, p *place, all *testenv.Servers) error {
	domain, err := emptyDomain(ctx)
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(p.dir, "domain"), os.DirFS(domain)); err != nil {
		return err
	}
	host, err := freeAddress(389, 636, 3268, 3269)
	if err != nil {
		return err
	}
	d := testenv.Directory{
		Host: host, Port: 636, PlainPort: 389, BaseDN: adSuffix,
		RootDN: "CN=Administrator,CN=Users," + adSuffix, RootPassword: adPassword(),
		BindDN: "CN=nhi,OU=admins," + adSuffix, Password: adPassword(),
		ReaderDN: "CN=reader,OU=admins," + adSuffix, ReaderPassword: adPassword(),
		CAFile: filepath.Join(p.dir, "ca.pem"),
	}
	all.AD = d
	if err := serverHome(filepath.Join(p.dir, "tls"), nil, d.CAFile, host); err != nil {
		return err
	}
	conf := filepath.Join(p.dir, "smb.conf")
	if err := os.WriteFile(conf, []byte(sambaConf(p.dir, host)), 0o600); err != nil {
		return err
	}
	wish, err := json.Marshal(map[string]string{
		"conf": conf, "root": d.RootPassword, "nhi": d.Password, "reader": d.ReaderPassword,
	})
	if err != nil {
		return err
	}
	if err := p.run(spawn{path: debianPython, args: []string{"-c", fillDomain}}, string(wish)); err != nil {
		return err
	}
	return p.spawn(spawn{path: sambaPath, args: []string{"-i", "-M", "single", "-s", conf}})
}

// adPassword is a password with the variety that a domain asks for.
func adPassword() string { return "Aa1!" + randomText() }

// sambaConf keeps everything that Samba writes in dir.
func sambaConf(dir, host string) string {
	domain := filepath.Join(dir, "domain")
	return strings.Join([]string{
		"[global]",
		"server role = active directory domain controller",
		"server services = ldap",
		"dcerpc endpoint servers =",
		"workgroup = NHI",
		"realm = NHI.TEST",
		"netbios name = DC1",
		"interfaces = " + host + "/8",
		"bind interfaces only = yes",
		"private dir = " + filepath.Join(domain, "private"),
		"state directory = " + filepath.Join(domain, "state"),
		"lock directory = " + domain,
		"cache directory = " + domain,
		"pid directory = " + dir,
		"ncalrpc dir = " + filepath.Join(dir, "ncalrpc"),
		"winbindd socket directory = " + filepath.Join(dir, "winbindd"),
		"ntp signd socket directory = " + filepath.Join(dir, "ntp_signd"),
		// The data need not survive the machine.
		"ldb:nosync = true",
		"logging = file",
		"log file = " + filepath.Join(dir, "samba.log"),
		"tls certfile = " + filepath.Join(dir, "tls", "server.crt"),
		"tls keyfile = " + filepath.Join(dir, "tls", "server.key"),
		"tls cafile = " + filepath.Join(dir, "ca.pem"),
		"",
	}, "\n")
}

// freeAddress returns an address of loopback on which nothing listens on the ports, which a domain controller cannot
// change: two beds of one machine have two addresses.
func freeAddress(ports ...int) (string, error) {
	var errs []error
	for range 20 {
		random := make([]byte, 3)
		if _, err := rand.Read(random); err != nil {
			return "", err
		}
		host := net.IPv4(127, 1+random[0]%250, random[1], 1+random[2]%250).String()
		err := portsFree(host, ports)
		if err == nil {
			return host, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

func portsFree(host string, ports []int) error {
	for _, port := range ports {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		if err := listener.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (activeDirectory) health(ctx context.Context, all testenv.Servers) error {
	return directoryHealth(ctx, all.AD)
}

func (activeDirectory) describe(all testenv.Servers) string { return describeDirectory(all.AD) }
