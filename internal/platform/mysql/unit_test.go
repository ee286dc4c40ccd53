package mysql

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	mysqlclient "github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	answer := func(number uint16) error { return &mysqlclient.MySQLError{Number: number} }
	login := func(number uint16) error { return &loginError{answer(number)} }
	for _, c := range []struct {
		err  error
		want driver.Code
	}{
		{login(1045), driver.Unauthenticated},
		{answer(1045), driver.PermissionDenied},
		{login(4151), driver.Unauthenticated},
		{login(3118), driver.Unauthenticated},
		{login(1040), driver.Unavailable},
		{answer(1227), driver.PermissionDenied},
		{answer(1396), driver.Conflict},
		{answer(1213), driver.Conflict},
		{answer(1146), driver.Invalid},
		{answer(1290), driver.Unavailable},
		{answer(9999), driver.Unknown},
		{mysqlclient.ErrInvalidConn, driver.Unavailable},
		{mysqlclient.ErrMalformPkt, driver.Unknown},
		{mysqlclient.ErrNoTLS, driver.Invalid},
		{io.ErrUnexpectedEOF, driver.Unavailable},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, driver.Unavailable},
		{context.DeadlineExceeded, driver.Unavailable},
		{errors.New("never seen"), driver.Unknown},
		{errIncomplete, driver.Unknown},
	} {
		for _, err := range []error{c.err, fmt.Errorf("read account: %w", c.err)} {
			if got := (&client{}).Classify(err).Code; got != c.want {
				t.Errorf("Classify(%v) is %q, want %q", err, got, c.want)
			}
		}
	}
}

func TestAccountNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, problem string }{
		{"app", ""}, {"app@10.0.0.%", ""}, {"app@localhost", ""}, {"svc@example.com@%", ""}, {"a'b", ""}, {"@a@%", ""},
		{"app@%", `write "app"`}, {"app@", "not a host pattern"}, {"@app", "no user name"}, {"app@Host", "small letters"},
		{"🔑", "beyond U+FFFF"}, {"a @host", "white space"}, {strings.Repeat("x", 81), "81 characters"},
	} {
		err := Spec().CheckName(c.name)
		if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%q: %v, want %q", c.name, err, c.problem)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		w := who{rapid.StringOf(rapid.RuneFrom([]rune("a@%'`é"))).Draw(t, "user"), rapid.SampledFrom([]string{"%", "h", "10.%"}).Draw(t, "host")}
		if again := parseWho(w.String()); again != w {
			t.Fatalf("%#v is spelt %q, which reads as %#v", w, w, again)
		}
		a := account{user{who: w}, record{id: rapid.SampledFrom([]string{"", "X"}).Draw(t, "id")}}
		if again, random, err := parseID(a.idText()); err != nil || again != w || random != a.id {
			t.Fatalf("%q reads as %#v, %q, %v", a.idText(), again, random, err)
		}
	})
}

func TestGrammar(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"database:my_db#select":           "",
		"database:my_db#SELECT":           "not the canonical spelling",
		"database:my_db#all privileges":   "unknown permission",
		"database_pattern:my_db#select":   "",
		`database_pattern:my\_db#select`:  "write database:my_db#select",
		"database_pattern:mydb#select":    "write database:mydb#select",
		"table:finance.invoices#select":   "",
		"table:invoices#select":           "in 2 parts",
		"table:`a.b`.c#grant option":      "",
		"table:`ab`.c#select":             "not the canonical spelling",
		"column:finance.invoices.a#drop":  "unknown permission",
		"function:finance.total#execute":  "",
		"global:all privileges":           "ALL is no privilege",
		"global:PROCESS":                  `write "global:process"`,
		"global:select, insert on *.* --": "SHOW PRIVILEGES",
		"global:usage":                    "not a right on its own",
		"role:reporting@%":                `write "role:reporting"`,
		"proxy:root@localhost":            "cannot be granted",
	} {
		_, err := Spec().Grammar.Parse(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringOf(rapid.RuneFrom([]rune(`ab_%\`))).Draw(t, "name")
		if again, exact := unescapePattern(escapePattern(name)); !exact || again != name {
			t.Fatalf("%q becomes %q, which reads as %q, %v", name, escapePattern(name), again, exact)
		}
	})
	for pattern, from := range map[string]string{
		"10.%": "10.1.2.3:51234", "%": "x:1", "1_.0": "10.0:1", "10.0.0.0/255.0.0.0": "10.9.9.9:1", "H": "h", "10.0.0.0/8": "10.9.9.9:51234",
		"2001:db8::5": "2001:0db8:0:0::5:51234", "2001:db8::%": "2001:db8::5:51234", "10.1.2.3": "::ffff:10.1.2.3:51234",
	} {
		host := withoutPort(from)
		if !hostFits(pattern, host) || hostFits(pattern, "192.168.0.1") != (pattern == "%") {
			t.Errorf("%s does not tell %s from another host", pattern, host)
		}
	}
	for _, pattern := range []string{"10.0.0.0/255.0.255.0", "10.0.0.0/x", "x/8", "10.0.0.0/33"} {
		if hostFits(pattern, "10.0.0.1") {
			t.Errorf("%s is no network and fits a host", pattern)
		}
	}
	ranked := []string{"10.1.2.3", "10.1.0.0/16", "app.internal", "10.1.%", "10.%", "%"}
	if !slices.IsSortedFunc(ranked, func(x, y string) int { return literalLength(y) - literalLength(x) }) {
		t.Errorf("not the most specific first: %v", ranked)
	}
}

func TestFlavors(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]flavor{
		"10.11.6-MariaDB-log": mariaDB{}, "10.4.0-MariaDB": mariaDB{}, "11.8.2-MariaDB": mariaDB{}, "8.0.36": oracle{}, "8.4.0-commercial": oracle{},
		"10.3.9-MariaDB": nil, "5.7.44": nil, "8.0.13": nil, "": nil,
	} {
		if got, err := flavorFor(version); got != want || (err == nil) != (want != nil) {
			t.Errorf("%q is %T, %v; want %T", version, got, err, want)
		}
	}
}

// TestMySQLStatements fixes the texts for MySQL, which no server here runs, after its reference manual: sections "ALTER USER
// Statement" and "Password Management", version 8.0.
func TestMySQLStatements(t *testing.T) {
	t.Parallel()
	bot := who{"bot", "%"}
	none, first := method{pluginSHA2, noPassword}, method{pluginSHA2, "$A$005$first"}
	second := method{pluginSHA2, "$A$005$second"}
	if len(noPassword) != 70 {
		t.Errorf("the hash that is none has %d characters, want 70", len(noPassword))
	}
	add := func(methods ...method) string {
		statement, stored := oracle{}.addPassword(user{who: bot, methods: methods}, "pw")
		if stored != "" {
			t.Errorf("MySQL alone knows what it stores, not %q", stored)
		}
		return statement
	}
	drop := func(index int, methods ...method) string {
		return strings.Join(oracle{}.dropPassword(user{who: bot, methods: methods}, index), "; ")
	}
	roles, err := oracle{}.setDefaultRoles(bot, []who{{"a", "%"}, {"b", "h"}})
	if err != nil {
		t.Fatal(err)
	}
	native := func(stored string) method { return method{pluginNative, stored} }
	got := []string{
		add(none), add(first), add(none, second), drop(0, first), drop(0, first, second), drop(1, first, second), drop(0, none, second),
		add(native("*F")), drop(0, native("*F"), native("*S")), drop(1, native("*F"), native("*S")), drop(0, native("*F")), roles,
	}
	void := "alter user `bot`@`%` identified with caching_sha2_password as '" + noPassword + "'"
	want := []string{
		"alter user `bot`@`%` identified with caching_sha2_password by 'pw'",
		"alter user `bot`@`%` identified with `caching_sha2_password` by 'pw' retain current password",
		"alter user `bot`@`%` identified with caching_sha2_password by 'pw'",
		void,
		"alter user `bot`@`%` identified with `caching_sha2_password` as '$A$005$second'; alter user `bot`@`%` discard old password",
		"alter user `bot`@`%` discard old password",
		"alter user `bot`@`%` discard old password",
		"alter user `bot`@`%` identified with `mysql_native_password` by 'pw' retain current password",
		"alter user `bot`@`%` identified with `mysql_native_password` as '*S'; alter user `bot`@`%` discard old password",
		"alter user `bot`@`%` discard old password",
		void,
		"set default role `a`@`%`, `b`@`h` to `bot`@`%`",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
}

// TestPendingNote is a run on MySQL that was killed between making a password and noting what the server stores of it.
func TestPendingNote(t *testing.T) {
	t.Parallel()
	known := method{pluginSHA2, "known"}
	a := account{
		user{methods: []method{{pluginSHA2, "new"}, known}},
		record{credentials: []credential{
			{id: "1", label: "one", fingerprint: fingerprint(known), madeAt: time.Unix(1, 0)}, {id: "2", label: "two", madeAt: time.Unix(2, 0)},
		}},
	}
	var got []nhi.Credential
	for _, k := range a.credentialList() {
		got = append(got, k.Credential)
	}
	if len(got) != 2 || got[0].Label != "one" || got[1].Label != "two" {
		t.Errorf("credentials %+v, want one and two", got)
	}
}

func TestConfigurations(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"must be set":          {Host: "h"},
		"would be unencrypted": {Host: "db.internal", Username: "u", PlainText: true},
		"no use for a file":    {Host: "localhost", Username: "u", PlainText: true, CAFile: "x"},
		"read the certificate": {Host: "h", Username: "u", CAFile: "/nowhere"},
		"the port must be":     {Host: "h", Username: "u", Port: 70000},
		"":                     {Host: "127.0.0.1", Username: "u", PlainText: true},
	} {
		_, err := clientConfig(cfg)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

// TestServerAsksForMore: a hostile server gets neither files of this machine nor a password in clear, and no connection
// without TLS in place of one with it.
func TestServerAsksForMore(t *testing.T) {
	t.Parallel()
	config, err := clientConfig(Config{Host: "db.internal", Username: "u", Password: secret.New("p")})
	if err != nil {
		t.Fatal(err)
	}
	if config.AllowAllFiles || config.AllowCleartextPasswords || config.AllowOldPasswords || config.AllowFallbackToPlaintext {
		t.Errorf("the client would do as a hostile server says: %+v", config)
	}
	if config.TLS.MinVersion != tls.VersionTLS12 || config.TLS.InsecureSkipVerify || config.TLS.ServerName != "db.internal" {
		t.Errorf("TLS from version %x, skip %t, name %q", config.TLS.MinVersion, config.TLS.InsecureSkipVerify, config.TLS.ServerName)
	}
}

func TestTLSIsChecked(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg := s.config()
	cfg.CAFile = "" // The machine's own authorities have not signed it.
	d := open(t, cfg)
	if _, err := d.Probe(t.Context()); d.Classify(err).Code != driver.Invalid {
		t.Errorf("a certificate of an unknown authority: %v", err)
	}
}
