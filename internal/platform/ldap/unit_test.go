package ldap

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func TestCanonicalDN(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"cn=readers,dc=example,dc=com", "cn=readers,dc=example,dc=com"},
		{"CN=Readers, OU = All Groups ,DC=Example,DC=com", "cn=readers,ou=all groups,dc=example,dc=com"},
		{`cn=a\2Cb,dc=x`, `cn=a\,b,dc=x`},
		{`cn=a\,b,dc=x`, `cn=a\,b,dc=x`},
		{`cn=\#x\+y\=z,dc=x`, `cn=\#x\+y\=z,dc=x`},
		{`cn=a=b,dc=x`, `cn=a\=b,dc=x`},
		{`cn=\20x\20,dc=x`, `cn=\ x\ ,dc=x`},
		{`cn=x#y (z)*,dc=x`, `cn=x#y (z)*,dc=x`},
		{`cn=Gr\C3\B6\C3\9Fe,dc=x`, "cn=größe,dc=x"},
		{"uid=b+CN=a,dc=x", "cn=a+uid=b,dc=x"},
		{`cn=a\0ab\e2\80\ae,dc=x`, `cn=a\0ab\e2\80\ae,dc=x`},
		{`cn=\ff,dc=x`, `cn=\ff,dc=x`},
		{"cn=a;dc=x", "cn=a,dc=x"},
		{"2.5.4.3=a,dc=x", "2.5.4.3=a,dc=x"},
		{"readers", ""}, {"", ""}, {"cn=,dc=x", ""}, {"=a,dc=x", ""}, {`cn=a\,dc`, `cn=a\,dc`}, {`cn=a\`, ""}, {"cn=a,", ""},
		{"c n=a", ""}, {"(cn=a", ""},
	} {
		got, err := canonicalDN(test.text)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q is %q, %v; want %q", test.text, got, err, test.want)
		}
		if again, err := canonicalDN(got); got != "" && (err != nil || again != got) {
			t.Errorf("%q is canonical and becomes %q, %v", got, again, err)
		}
	}
	_, err := Spec(OpenLDAP).Grammar.Parse("group:CN=Readers, DC=x")
	var wrong *nhi.NotCanonicalError
	if !errors.As(err, &wrong) || wrong.Canonical != "group:cn=readers,dc=x" {
		t.Errorf("another spelling: %v", err)
	}
	_, err = Spec(ActiveDirectory).Grammar.Find("primary_group:CN=Readers, DC=x")
	if !errors.As(err, &wrong) || wrong.Canonical != "primary_group:cn=readers,dc=x" {
		t.Errorf("another spelling of a primary group: %v", err)
	}
}

func TestMatchKey(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"CN=A  b,DC=x", "cn=a b, dc=X", true},
		{`cn=a\2cb`, `cn=a\,b`, true},
		{"cn=e\u0301", "cn=é", true},
		{"cn=a", "cn=b", false},
		{"cn=a,cn=b", `cn=a\,cn\=b`, false},
	} {
		if (matchKey(test.a) == matchKey(test.b)) != test.same {
			t.Errorf("%q and %q: %q, %q", test.a, test.b, matchKey(test.a), matchKey(test.b))
		}
	}
	for _, test := range []struct {
		dn, base string
		want     bool
	}{{"cn=a,dc=x", "dc=x", true}, {"dc=x", "dc=x", true}, {"cn=a,dc=xx", "dc=x", false}, {"cn=a,ddc=x", "dc=x", false}} {
		if isBelow(test.dn, test.base) != test.want {
			t.Errorf("%q below %q: not %t", test.dn, test.base, test.want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := func() Config {
		return Config{
			Dialect: OpenLDAP, URL: "ldaps://ldap.example.com", BindDN: "cn=nhi", Password: secret.New("x"), BaseDN: "dc=x",
		}
	}
	for want, change := range map[string]func(*Config){
		"":                     func(*Config) {},
		"unknown dialect":      func(c *Config) { c.Dialect = "novell" },
		"such as ldaps://":     func(c *Config) { c.URL = "https://x" },
		"user name":            func(c *Config) { c.URL = "ldaps://u:p@x" },
		"plain ldap://":        func(c *Config) { c.URL = "ldap://ldap.example.com" },
		"has TLS from":         func(c *Config) { c.StartTLS = true },
		"as it does to":        func(c *Config) { c.Password = secret.Value{} },
		"base_dn is not":       func(c *Config) { c.BaseDN = "" },
		"distinguished":        func(c *Config) { c.GroupsDN = "groups" },
		"unknown object_class": func(c *Config) { c.ObjectClass = "person" },
		"unknown password_":    func(c *Config) { c.PasswordScheme = "MD5" },
		"are for \"openldap\"": func(c *Config) { c.Dialect, c.ObjectClass = ActiveDirectory, ClassAccount },
		"page size":            func(c *Config) { c.PageSize = -1 },
		"authorities":          func(c *Config) { c.CAFile = "/nowhere" },
	} {
		cfg := good()
		change(&cfg)
		_, err := Open(cfg)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, allowed := range []struct {
		url           string
		tls, anywhere bool
	}{{"ldap://127.0.0.1:389", false, false}, {"ldap://localhost", false, false}, {"ldap://x", true, false}, {"ldap://x", false, true}} {
		if err := CheckURL(allowed.url, allowed.tls, allowed.anywhere); err != nil {
			t.Errorf("%+v: %v", allowed, err)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	c := &client{}
	for code, want := range map[uint16]driver.Code{
		goldap.LDAPResultNoSuchObject: driver.Conflict, goldap.LDAPResultSizeLimitExceeded: driver.PermissionDenied,
		goldap.LDAPResultBusy: driver.Unavailable, goldap.LDAPResultReferral: driver.Unsupported,
		goldap.LDAPResultEntryAlreadyExists: driver.AlreadyExists, goldap.LDAPResultOther: driver.Unknown,
		goldap.LDAPResultInvalidCredentials: driver.Unauthenticated, goldap.ErrorNetwork: driver.Unavailable,
		goldap.LDAPResultInsufficientAccessRights: driver.PermissionDenied,
	} {
		if got := c.Classify(goldap.NewError(code, errors.New("x"))).Code; got != want {
			t.Errorf("result %d is %q, want %q", code, got, want)
		}
	}
	for code, want := range codes {
		if want == driver.NotFound {
			t.Errorf("result %d is read as absence", code)
		}
	}
	if got := c.Classify(io.ErrUnexpectedEOF).Code; got != driver.Unavailable {
		t.Errorf("a cut answer is %q", got)
	}
	err := explained(goldap.NewError(49, errors.New("80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 775, v4563")))
	if !strings.Contains(err.Error(), "locked after too many") {
		t.Errorf("data 775: %v", err)
	}
}

func TestPasswordValue(t *testing.T) {
	t.Parallel()
	credential := newCredential("a label: with ] and ä")
	for _, scheme := range []string{SchemeSSHA, SchemeSSHA512} {
		value := passwordValue(scheme, secret.New("text"), credential)
		if got, ok := parsePassword(value); !ok || got != credential {
			t.Errorf("%s: read back %+v, %t", scheme, got, ok)
		}
		if got := unlocked(lockedPrefix + value); got != value {
			t.Errorf("%s: unlocked %q", scheme, got)
		}
	}
	for _, value := range []string{"", "clear", "{SSHA}", "{SSHA}!", "{SSHA}AAAA", "{CRYPT}x", noPassword} {
		if _, ok := parsePassword(value); ok {
			t.Errorf("%q is taken for ours", value)
		}
	}
}

func TestVerifyNothing(t *testing.T) {
	t.Parallel()
	for _, dialect := range []Dialect{OpenLDAP, ActiveDirectory} {
		s := newServer(t, dialect)
		c := openClient(t, s.config())
		// Servers take a bind without a password for an anonymous one, and accept it.
		wantCode(t, c, "no password", c.Verify(t.Context(), s.bed.BindDN, secret.Value{}), driver.Unauthenticated, "proves nothing")
		wantCode(t, c, "no login", c.Verify(t.Context(), "", secret.New("x")), driver.Unauthenticated, "proves nothing")
	}
}

// TestReconnect has connections that broke while nobody used them.
func TestReconnect(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	c := openClient(t, s.config())
	ref := s.make(t, c)
	c.pool.mu.Lock()
	broken := len(c.pool.idle)
	for _, idle := range c.pool.idle {
		_ = idle.network.Close()
	}
	c.pool.mu.Unlock()
	if broken == 0 {
		t.Fatal("no connection was kept")
	}
	var err error
	for range 100 { // The library notices on its own; a call that comes before is told that there was no answer.
		if _, err = c.ReadAccount(t.Context(), ref); err == nil {
			break
		}
		if got := c.Classify(err).Code; got != driver.Unavailable {
			t.Fatalf("a broken connection is %q: %v", got, err)
		}
	}
	must(t, "read after the connection broke", err)
}

// TestCancelUnderWay cancels a call that waits for its answer, and one that waits for a connection.
func TestCancelUnderWay(t *testing.T) {
	t.Parallel()
	s := newServer(t, OpenLDAP)
	cfg := s.config()
	arrived := make(chan struct{}, 1)
	cfg.URL = "ldap://" + netfault.Listen(t, func(conn net.Conn) {
		arrived <- struct{}{}
		_, _ = io.Copy(io.Discard, conn)
	})
	cfg.MaxConnections = 1
	c := openClient(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := c.ReadAccount(ctx, nhi.Ref{Name: "x"})
			ended <- err
		}()
	}
	<-arrived
	cancel()
	for range 2 {
		select {
		case err := <-ended:
			wantCode(t, c, "a cancelled call", err, driver.Unavailable, "canceled")
		case <-time.After(time.Minute):
			t.Fatal("a cancelled call goes on waiting")
		}
	}
}

func TestWrongPlaces(t *testing.T) {
	t.Parallel()
	for _, dialect := range []Dialect{OpenLDAP, ActiveDirectory} {
		s := newServer(t, dialect)
		for base, want := range map[string]string{
			"ou=absent," + s.bed.BaseDN: "shows no entry", "dc=elsewhere": "base_dn",
		} {
			cfg := s.config()
			cfg.BaseDN = base
			c := openClient(t, cfg)
			_, err := c.ReadAccount(t.Context(), nhi.Ref{Name: "x"})
			wantCode(t, c, string(dialect)+" "+base, err, driver.Invalid, want)
		}
	}
	s := newServer(t, OpenLDAP)
	cfg := s.config()
	cfg.URL, cfg.StartTLS = "ldap://"+net.JoinHostPort(s.bed.Host, strconv.Itoa(s.bed.PlainPort)), true
	_, err := openClient(t, cfg).Probe(t.Context())
	must(t, "StartTLS", err)
	cfg.CAFile = ""
	if _, err := openClient(t, cfg).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of an unknown authority: %v", err)
	}
}
