package postgresql

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest/netfault"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// answerTooMany refuses as PostgreSQL does when all its connections are in use: before it looks at the password.
func answerTooMany(conn net.Conn) {
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return
	}
	backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "53300",
		Message: "sorry, too many clients already"})
	_ = backend.Flush()
}

// answerEmpty speaks PostgreSQL's protocol, lets everybody in, and has no row for any question.
func answerEmpty(conn net.Conn) {
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	backend.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	described := ""
	for {
		if err := backend.Flush(); err != nil {
			return
		}
		message, err := backend.Receive()
		if err != nil {
			return
		}
		switch m := message.(type) {
		case *pgproto3.Query:
			backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("BEGIN")})
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'T'})
		case *pgproto3.Parse:
			described = m.Query
			backend.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Describe:
			backend.Send(&pgproto3.ParameterDescription{ParameterOIDs: parameters(described)})
			fields := []pgproto3.FieldDescription{{Name: []byte("c"), DataTypeOID: pgtype.TextOID}}
			backend.Send(&pgproto3.RowDescription{Fields: fields})
		case *pgproto3.Bind:
			backend.Send(&pgproto3.BindComplete{})
		case *pgproto3.Execute:
			backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")})
		case *pgproto3.Sync:
			backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'T'})
		case *pgproto3.Terminate:
			return
		}
	}
}

var parameter = regexp.MustCompile(`\$(\d+)::(\w+(?:\[\])?)`)

// parameters reads the types of a query's parameters from its casts.
func parameters(query string) []uint32 {
	types := map[string]uint32{
		"oid": pgtype.OIDOID, "text": pgtype.TextOID, "oid[]": pgtype.OIDArrayOID, "text[]": pgtype.TextArrayOID,
		"int[]": pgtype.Int4ArrayOID,
	}
	var oids []uint32
	for _, m := range parameter.FindAllStringSubmatch(query, -1) {
		if n, err := strconv.Atoi(m[1]); err == nil && n > len(oids) {
			oids = append(oids, types[m[2]])
		}
	}
	return oids
}

func TestEmptyAnswersAreNotAbsence(t *testing.T) {
	// The fake must get as far as the answer without rows: else the conformance case proves nothing.
	host, port, err := net.SplitHostPort(netfault.Listen(t, answerEmpty))
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, Config{Host: host, Port: number, Database: "d", Username: "u", SSLMode: "disable"})
	c, ok := d.(*client)
	if !ok {
		t.Fatalf("Open returns %T", d)
	}
	c.known = &facts{version: 150000}
	_, err = c.ReadAccount(t.Context(), refNamed("billing-agent"))
	if err == nil || !errors.Is(err, errIncomplete) {
		t.Errorf("read of an account from an empty answer: %v, want %v", err, errIncomplete)
	}
}

// TestProbeOfAWeakRole has an administrator that can change nothing, and one whose transactions are read-only.
func TestProbeOfAWeakRole(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	target, err := s.WithFault(t, drivertest.MissingRights).Probe(t.Context())
	if err != nil || len(target.Lacking) != 1 || !strings.Contains(target.Lacking[0], "has neither SUPERUSER nor CREATEROLE") {
		t.Errorf("a role without rights lacks %q (%v)", target.Lacking, err)
	}
	cfg := s.config()
	cfg.Username, cfg.Password = s.plainRole(t, "login createrole")
	s.exec(t, "alter role "+cfg.Username+" set default_transaction_read_only = on")
	d := open(t, cfg)
	target, err = d.Probe(t.Context())
	if err != nil || len(target.Lacking) != 1 || !strings.Contains(target.Lacking[0], "default_transaction_read_only") {
		t.Errorf("a read-only role lacks %q (%v)", target.Lacking, err)
	}
	// The sentence is true.
	if _, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: unique("bot-")}); err == nil {
		t.Error("a read-only role makes accounts")
	}
}

// A run that the network takes away in the middle of a change keeps the others waiting for a few seconds, not until TCP
// gives up. It has a database of its own, because nobody else is to wait.
func TestVanishedWriterKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cfg := s.config()
	cfg.Database, _ = s.database(t)
	b := s.bench(t, cfg)
	vanished, err := b.c.pool.BeginTx(t.Context(), pgx.TxOptions{BeginQuery: beginWrite})
	if err != nil {
		t.Fatal(err)
	}
	defer vanished.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // the server has done so
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ref, err := b.c.CreateAccount(ctx, driver.AccountSpec{Name: unique("bot-"), Mark: nhi.Mark{Stack: "test", Identity: "bot"}})
	if err == nil {
		err = b.c.DeleteAccount(ctx, ref)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = vanished.Exec(t.Context(), "select 1")
	if code := b.c.Classify(err).Code; err == nil || code != driver.Unavailable {
		t.Errorf("the vanished session: %v (%s)", err, code)
	}
}
