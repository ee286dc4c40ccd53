package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// The two syslog receivers conflict as Debian packages, so neither is installed: both run from where they were unpacked.
const (
	rsyslogRoot  = "rsyslog-1"
	syslogNGRoot = "syslog-ng-1"
)

func rsyslogPackages() []string {
	return []string{"rsyslog", "rsyslog-openssl", "libestr0", "libfastjson4", "liblognorm5"}
}

func syslogNGPackages() []string {
	return []string{
		"syslog-ng-core", "libivykis0", "libnet1", "libwrap0", "libnsl2", "libtirpc3", "libjson-c5", "libpcre3", "libglib2.0-0",
	}
}

// rsyslog takes RFC 5424 over TCP and TLS and writes what it understood as lines of JSON.
type rsyslog struct{}

func (rsyslog) name() string { return "rsyslog" }

func (rsyslog) install(ctx context.Context) error {
	_, err := programs.Unpack(ctx, os.Stderr, rsyslogRoot, rsyslogPackages()...)
	return err
}

const rsyslogConfig = `global(workDirectory="@DIR@" maxMessageSize="1m" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="@DIR@/ca.pem" defaultNetstreamDriverCertFile="@DIR@/server.crt"
  defaultNetstreamDriverKeyFile="@DIR@/server.key")
module(load="imtcp" maxSessions="500" maxFrameSize="1048576")
template(name="json" type="list") {
  constant(value="{\"pri\":\"") property(name="pri")
  constant(value="\",\"host\":\"") property(name="hostname" format="json")
  constant(value="\",\"app\":\"") property(name="app-name" format="json")
  constant(value="\",\"msgid\":\"") property(name="msgid" format="json")
  constant(value="\",\"sd\":\"") property(name="structured-data" format="json")
  constant(value="\",\"msg\":\"") property(name="msg" format="json")
  constant(value="\",\"version\":\"") property(name="protocol-version")
  constant(value="\"}\n")
}
ruleset(name="received") { action(type="omfile" file="@DIR@/received" template="json" fileCreateMode="0600") }
input(type="imtcp" address="127.0.0.1" port="@TCP@" ruleset="received")
input(type="imtcp" address="127.0.0.1" port="@TLS@" ruleset="received"
  streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
`

func (rsyslog) start(ctx context.Context, p *place, all *testenv.Servers) error {
	root, err := programs.Unpack(ctx, os.Stderr, rsyslogRoot, rsyslogPackages()...)
	if err != nil {
		return err
	}
	modules, err := filepath.Glob(filepath.Join(root, "usr", "lib", "*", "rsyslog"))
	if err != nil || len(modules) != 1 {
		return errors.Join(err, fmt.Errorf("no directory of rsyslog's modules below %s", root))
	}
	config, err := syslogFiles(p, &all.RSyslog, rsyslogConfig)
	if err != nil {
		return err
	}
	return p.spawn(spawn{
		path: filepath.Join(root, "usr", "sbin", "rsyslogd"),
		args: []string{"-n", "-f", config, "-i", filepath.Join(p.dir, "pid"), "-M", modules[0]},
		env:  []string{"LD_LIBRARY_PATH=" + programs.Libraries(root)},
	})
}

func (rsyslog) health(ctx context.Context, all testenv.Servers) error {
	return handshake(ctx, all.RSyslog)
}

func (rsyslog) describe(all testenv.Servers) string {
	return all.RSyslog.TLS + " (TLS), " + all.RSyslog.TCP
}

// syslogNG is the same with syslog-ng.
type syslogNG struct{}

func (syslogNG) name() string { return "syslog-ng" }

func (syslogNG) install(ctx context.Context) error {
	_, err := programs.Unpack(ctx, os.Stderr, syslogNGRoot, syslogNGPackages()...)
	return err
}

const syslogNGConfig = `@version: 3.38
options { log-msg-size(1048576); flush-lines(1); keep-hostname(yes); };
source received {
  syslog(ip("127.0.0.1") port(@TCP@) transport("tcp") max-connections(200));
  syslog(ip("127.0.0.1") port(@TLS@) transport("tls") max-connections(200)
    tls(key-file("@DIR@/server.key") cert-file("@DIR@/server.crt") peer-verify(optional-untrusted)));
};
destination file { file("@DIR@/received" perm(0600) template("$(format-json --scope rfc5424 --scope nv-pairs)\n")); };
log { source(received); destination(file); };
`

func (syslogNG) start(ctx context.Context, p *place, all *testenv.Servers) error {
	root, err := programs.Unpack(ctx, os.Stderr, syslogNGRoot, syslogNGPackages()...)
	if err != nil {
		return err
	}
	modules, err := filepath.Glob(filepath.Join(root, "usr", "lib", "syslog-ng", "[0-9]*"))
	if err != nil || len(modules) != 1 {
		return errors.Join(err, fmt.Errorf("no directory of syslog-ng's modules below %s", root))
	}
	config, err := syslogFiles(p, &all.SyslogNG, syslogNGConfig)
	if err != nil {
		return err
	}
	return p.spawn(spawn{
		path: filepath.Join(root, "usr", "sbin", "syslog-ng"),
		args: []string{
			"--foreground", "--no-caps", "--cfgfile=" + config, "--module-path=" + modules[0],
			"--persist-file=" + filepath.Join(p.dir, "persist"), "--pidfile=" + filepath.Join(p.dir, "pid"),
			"--control=" + filepath.Join(p.dir, "control"),
		},
		env: []string{"LD_LIBRARY_PATH=" + filepath.Dir(modules[0]) + ":" + programs.Libraries(root)},
	})
}

func (syslogNG) health(ctx context.Context, all testenv.Servers) error {
	return handshake(ctx, all.SyslogNG)
}

func (syslogNG) describe(all testenv.Servers) string {
	return all.SyslogNG.TLS + " (TLS), " + all.SyslogNG.TCP
}

// syslogFiles writes certificate and configuration, chooses the ports, and returns the configuration's path.
func syslogFiles(p *place, server *testenv.Syslog, config string) (string, error) {
	if err := writeCertificate(p.dir); err != nil {
		return "", err
	}
	tcp, errTCP := freePort()
	encrypted, errTLS := freePort()
	if err := errors.Join(errTCP, errTLS); err != nil {
		return "", err
	}
	*server = testenv.Syslog{
		TCP: fmt.Sprintf("127.0.0.1:%d", tcp), TLS: fmt.Sprintf("127.0.0.1:%d", encrypted),
		CAFile: filepath.Join(p.dir, "ca.pem"), File: filepath.Join(p.dir, "received"),
	}
	text := strings.NewReplacer("@DIR@", p.dir, "@TCP@", fmt.Sprint(tcp), "@TLS@", fmt.Sprint(encrypted)).Replace(config)
	path := filepath.Join(p.dir, "config")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// writeCertificate writes ca.pem, server.crt and server.key for this machine into a directory.
func writeCertificate(dir string) error {
	authority, certificate, key, err := newCertificate("127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"ca.pem": authority, "server.crt": certificate, "server.key": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// handshake fails unless the receiver speaks TLS with the certificate of its authority.
func handshake(ctx context.Context, server testenv.Syslog) error {
	authority, err := os.ReadFile(server.CAFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(ctx, "tcp", server.TLS)
	if err != nil {
		return err
	}
	return conn.Close()
}
