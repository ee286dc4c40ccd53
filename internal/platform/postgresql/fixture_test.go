package postgresql

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

func refNamed(name string) nhi.Ref { return nhi.Ref{Name: name} }

// bench is one driver on the real server with what the tests do again and again.
type bench struct {
	*testing.T
	s *server
	c *client
}

func newBench(t *testing.T) *bench {
	t.Helper()
	s := newServer(t)
	return s.bench(t, s.config())
}

func (s *server) bench(t *testing.T, cfg Config) *bench {
	t.Helper()
	c, ok := open(t, cfg).(*client)
	if !ok {
		t.Fatal("Open returns another type")
	}
	return &bench{T: t, s: s, c: c}
}

// account makes an account that is deleted when the test ends.
func (b *bench) account() nhi.Ref {
	b.Helper()
	return b.accountNamed(unique("bot-"))
}

func (b *bench) accountNamed(name string) nhi.Ref {
	b.Helper()
	ref, err := b.c.CreateAccount(b.Context(), driver.AccountSpec{Name: name, Mark: nhi.Mark{Stack: "test", Identity: "bot"}})
	if err != nil {
		b.Fatalf("create %q: %v", name, err)
	}
	b.Cleanup(func() {
		if err := b.c.DeleteAccount(context.WithoutCancel(b.Context()), ref); err != nil {
			b.Errorf("delete %q: %v", name, err)
		}
	})
	return ref
}

func (b *bench) read(ref nhi.Ref) nhi.Account {
	b.Helper()
	a, err := b.c.ReadAccount(b.Context(), ref)
	if err != nil {
		b.Fatalf("read %q: %v", ref.Name, err)
	}
	return a
}

func (b *bench) wantHolds(ref nhi.Ref, want ...string) {
	b.Helper()
	got := nhi.Texts(b.read(ref).Entitlements)
	slices.Sort(want)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		b.Errorf("entitlements of %q (-want +got):\n%s", ref.Name, diff)
	}
}

// parse reads entitlements; those that are only listed, too.
func parse(t *testing.T, texts ...string) []nhi.Entitlement {
	t.Helper()
	es := make([]nhi.Entitlement, len(texts))
	for i, text := range texts {
		var err error
		if es[i], err = Spec().Grammar.ParseObserved(text); err != nil {
			t.Fatal(err)
		}
	}
	return es
}

func (b *bench) grant(ref nhi.Ref, texts ...string) {
	b.Helper()
	if err := b.c.Grant(b.Context(), ref, parse(b.T, texts...)); err != nil {
		b.Fatalf("grant %q: %v", texts, err)
	}
}

func (b *bench) revoke(ref nhi.Ref, texts ...string) {
	b.Helper()
	if err := b.c.Revoke(b.Context(), ref, parse(b.T, texts...)); err != nil {
		b.Fatalf("revoke %q: %v", texts, err)
	}
}

func (b *bench) issue(ref nhi.Ref, request driver.IssueRequest) driver.Issued {
	b.Helper()
	issued, err := b.c.Issue(b.Context(), ref, request)
	if err != nil {
		b.Fatalf("issue for %q: %v", ref.Name, err)
	}
	return issued
}

// login opens a session of a credential.
func (b *bench) login(issued driver.Issued) *pgx.Conn {
	b.Helper()
	config := b.c.config.ConnConfig.Copy()
	config.User, config.Password = issued.Login, issued.Secret.Reveal()
	conn, err := pgx.ConnectConfig(b.Context(), config)
	if err != nil {
		b.Fatalf("log in as %q: %v", issued.Login, err)
	}
	b.Cleanup(func() { _ = conn.Close(context.WithoutCancel(b.Context())) })
	return conn
}

// wantError checks the code of an error, and that its text says what matters.
func (b *bench) wantError(err error, code driver.Code, says ...string) {
	b.Helper()
	if err == nil {
		b.Errorf("succeeded, want the code %q", code)
		return
	}
	if got := b.c.Classify(err).Code; got != code {
		b.Errorf("the code is %q, want %q: %v", got, code, err)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			b.Errorf("the error does not say %q: %v", part, err)
		}
	}
}
