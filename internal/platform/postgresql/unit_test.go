package postgresql

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	answer := func(code, message string) error { return &pgconn.PgError{Code: code, Message: message} }
	for _, c := range []struct {
		err  error
		want driver.Code
	}{
		{answer("42501", ""), driver.PermissionDenied},
		{answer("42710", ""), driver.AlreadyExists},
		{answer("23505", ""), driver.AlreadyExists},
		{answer("42704", "role does not exist"), driver.Invalid},
		{answer("42P01", ""), driver.Invalid},
		{answer("42883", ""), driver.Invalid},
		{answer("42601", "syntax error"), driver.Invalid},
		{answer("3F000", ""), driver.Invalid},
		{answer("3D000", "database does not exist"), driver.Invalid},
		{answer("0LP01", ""), driver.Invalid},
		{answer("2BP01", ""), driver.Invalid},
		{answer("22P05", ""), driver.Invalid},
		{answer("28000", ""), driver.Unauthenticated},
		{answer("28P01", ""), driver.Unauthenticated},
		{answer("53300", ""), driver.Unavailable},
		{answer("54000", "row is too big"), driver.Invalid},
		{answer("57P01", "admin shutdown"), driver.Unavailable},
		{answer("57P03", "starting up"), driver.Unavailable},
		{answer("57014", "query cancelled"), driver.Unavailable},
		{answer("08006", ""), driver.Unavailable},
		{answer("25006", "read-only transaction"), driver.Unavailable},
		{answer("40001", ""), driver.Conflict},
		{answer("40P01", ""), driver.Conflict},
		{answer("55P03", ""), driver.Conflict},
		{answer("XX000", "tuple concurrently updated"), driver.Conflict},
		{answer("XX000", "tuple concurrently deleted"), driver.Conflict},
		{answer("XX000", "cache lookup failed"), driver.Unknown},
		{answer("P0001", ""), driver.Unknown},
		{answer("", ""), driver.Unknown},
		{io.ErrUnexpectedEOF, driver.Unavailable},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, driver.Unavailable},
		{context.DeadlineExceeded, driver.Unavailable},
		{errors.New("never seen"), driver.Unknown},
		{errIncomplete, driver.Unknown},
	} {
		for _, err := range []error{c.err, fmt.Errorf("log in: %w", c.err)} {
			if got := (&client{}).Classify(err).Code; got != c.want {
				t.Errorf("Classify(%v) is %q, want %q", err, got, c.want)
			}
		}
	}
}

// TestVerifier checks the stored key against the exchange in RFC 7677, section 3: a server that has only that key must
// accept the proof that the client sent there.
func TestVerifier(t *testing.T) {
	t.Parallel()
	decode := func(text string) []byte {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	text, err := verifier(secret.New("pencil"), decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
	if err != nil {
		t.Fatal(err)
	}
	keys, found := strings.CutPrefix(text, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
	stored, serverKey, two := strings.Cut(keys, ":")
	if !found || !two {
		t.Fatalf("verifier is %q", text)
	}
	exchange := "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0," +
		"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	proof, signature := decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), mac(decode(stored), exchange)
	for i := range proof {
		proof[i] ^= signature[i]
	}
	if clientKey := sha256.Sum256(proof); !hmac.Equal(clientKey[:], decode(stored)) {
		t.Error("the stored key does not accept the client's proof")
	}
	if want := decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="); !hmac.Equal(mac(decode(serverKey), exchange), want) {
		t.Error("the server's signature is another than in the RFC")
	}
}

func TestTargetsRoundTrip(t *testing.T) {
	t.Parallel()
	part := rapid.StringOfN(rapid.RuneFrom([]rune(`ab."() #:,;'é`)), 1, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(part, 1, 3).Draw(t, "parts")
		target := joinTarget(parts)
		again, err := splitTarget(target, len(parts) > 1)
		if err != nil || !slices.Equal(parts, again) {
			t.Fatalf("%q is spelt %s, which reads as %q, %v", parts, target, again, err)
		}
		f := key{parts[0], parts[0], "integer, text"}
		if back, err := splitFunction(functionClass.target(f)); err != nil || back != f {
			t.Fatalf("%q is spelt %s, which reads as %q, %v", f, functionClass.target(f), back, err)
		}
	})
}

func TestGrammar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, canonical, problem string }{
		{text: `table:finance.invoices#select`},
		{text: `table:Finance.In voices#select+grant`},
		{text: `table:"a.b".c#select`},
		{text: `role:a.b`},
		{text: `role:"say ""hi"""`},
		{text: `schema: x#usage`, problem: "white space"},
		{text: `function:f.x()#execute`},
		{text: `function:f.x(integer, "Weird"."Type")#execute`},
		{text: `default_privilege:owner.tables#select`},
		{text: `table:"finance".invoices#select`, canonical: `table:finance.invoices#select`},
		{text: `table:finance.invoices#SELECT`, canonical: `table:finance.invoices#select`},
		{text: `role:"reporting"`, canonical: `role:reporting`},
		{text: `function:f.x(int,varchar[])#execute`, canonical: `function:f.x(integer, character varying[])#execute`},
		{text: `attribute:CREATEDB`, canonical: `attribute:createdb`},
		{text: `parameter:Log_Statement#set`, canonical: `parameter:log_statement#set`},
		{text: `table:invoices#select`, problem: "1 parts, not 2"},
		{text: `table:a.b.c#select`, problem: "3 parts, not 2"},
		{text: `table:a."b#select`, problem: "not closed"},
		{text: `table:a.#select`, problem: "empty"},
		{text: `table:"a"b.c#select`, problem: "unexpected"},
		{text: `role:"a".b`, problem: "unexpected"},
		{text: `function:f.x#execute`, problem: "types of the arguments"},
		{text: `attribute:login`, problem: "superuser"},
		{text: `owner:table x`, problem: "reassign_owned_to"},
		{text: `default_privilege:o.s.schemas#usage`, problem: "creator.schemas"},
		{text: `large_object:0x1#select`, problem: "number"},
	} {
		_, err := Spec().Grammar.Parse(c.text)
		var other *nhi.NotCanonicalError
		switch {
		case c.canonical != "":
			if !errors.As(err, &other) || other.Canonical != c.canonical {
				t.Errorf("%s: %v, want the canonical %s", c.text, err, c.canonical)
			}
		case c.problem != "":
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%s: %v, want an error that says %q", c.text, err, c.problem)
			}
		case err != nil:
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func TestLoginComment(t *testing.T) {
	t.Parallel()
	at := time.UnixMicro(1_700_000_000_123_456).UTC()
	want := loginComment{madeAt: at, expiresAt: at.Add(time.Hour), label: "a:b:c"}
	if got := parseLoginComment(want.text(account{role: role{oid: 7}})); got != want {
		t.Errorf("comment reads as %+v, want %+v", got, want)
	}
	for _, text := range []string{"", "nhi:v1:a:b", loginMark, loginMark + "1:2"} {
		if got := parseLoginComment(text); got != (loginComment{}) {
			t.Errorf("%q reads as %+v", text, got)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := Config{Host: "db.example.com", Database: `odd 'name\`, Username: "admin", Password: secret.New("canary-password")}
	config, err := poolConfig(good)
	if err != nil {
		t.Fatal(err)
	}
	conn := config.ConnConfig
	if conn.Database != good.Database || conn.Port != defaultPort || conn.Password != good.Password.Reveal() ||
		config.MaxConns != defaultConnections {
		t.Errorf("read as database %q, port %d, %d connections", conn.Database, conn.Port, config.MaxConns)
	}
	if conn.TLSConfig == nil || conn.TLSConfig.ServerName != good.Host || conn.TLSConfig.InsecureSkipVerify ||
		len(conn.Fallbacks) > 0 {
		t.Error("the default must verify the server's certificate and name, without a fallback")
	}
	if conn.TLSConfig.MinVersion != tls.VersionTLS12 {
		t.Errorf("the least version of TLS is %x", conn.TLSConfig.MinVersion)
	}
	if strings.Contains(config.ConnString(), "canary-password") {
		t.Error("the password is in the connection string")
	}
	for name, change := range map[string]func(*Config){
		"host": func(c *Config) { c.Host = "" }, "database": func(c *Config) { c.Database = "" },
		"user name": func(c *Config) { c.Username = "" }, "sslmode": func(c *Config) { c.SSLMode = "maybe" },
		"port": func(c *Config) { c.Port = 70000 }, "no-such-file": func(c *Config) { c.SSLRootCert = "/no-such-file" },
	} {
		bad := good
		change(&bad)
		_, err := Open(bad)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), good.Password.Reveal()) {
			t.Errorf("%s: %v, want an error that names it and no password", name, err)
		}
	}
}

func TestLacking(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		standing standing
		want     []string
	}{
		{standing{name: "a", super: true}, nil},
		{standing{name: "a", createRole: true}, nil},
		{standing{name: `A"b`}, []string{
			`The role "A\"b" has neither SUPERUSER nor CREATEROLE; run ALTER ROLE "A""b" CREATEROLE.`,
		}},
		{standing{name: "a", super: true, standby: true}, []string{"standby"}},
		{standing{name: "a", createRole: true, readOnly: true}, []string{"default_transaction_read_only"}},
		{standing{name: "a", standby: true, readOnly: true}, []string{"CREATEROLE", "standby", "read-only"}},
	} {
		got := c.standing.lacking()
		if len(got) != len(c.want) {
			t.Errorf("%+v lacks %q, want %q", c.standing, got, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%+v lacks %q, want %q", c.standing, got[i], want)
			}
		}
	}
}
