package acctest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// Codes in the place of a protocol version (https://www.postgresql.org/docs/current/protocol-message-formats.html).
const (
	pgCancelRequest = 80877102
	pgSSLRequest    = 80877103
)

// servePostgreSQL makes the front of the real server. A request is what the client waits for: the start of a connection
// with its login, a simple query, or everything up to a Sync. The front takes the client's password and logs in with it
// itself: a client that sees both ends of TLS would bind its login to the channel, which ends here.
func (l *faultLink) servePostgreSQL(t testing.TB, server testenv.PostgreSQL) {
	t.Helper()
	config, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%d sslmode=verify-full sslrootcert='%s'", server.Host, server.Port, server.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.front.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() //nolint:errcheck // the other side sees it
				if l.listening() {
					l.session(conn, config.Copy())
				}
			}()
		}
	}()
}

// session serves one connection of the client to its end.
func (l *faultLink) session(conn net.Conn, config *pgconn.Config) {
	request := make([]byte, 8)
	if _, err := io.ReadFull(conn, request); err != nil {
		return
	}
	if binary.BigEndian.Uint32(request[4:]) != pgSSLRequest {
		pgCancel(config, slices.Concat(request, rest(conn)))
		return
	}
	if _, err := conn.Write([]byte("S")); err != nil {
		return
	}
	client := tls.Server(conn, l.tls())
	begin, err := readMessage(client, 0)
	if err != nil {
		return
	}
	if binary.BigEndian.Uint32(begin[4:]) == pgCancelRequest {
		pgCancel(config, begin)
		return
	}
	s := &pgSession{link: l, client: client, waiting: make(chan *fault, 64)}
	if !s.login(begin[4:], config) {
		return
	}
	defer s.server.Close() //nolint:errcheck // the other side sees it
	go func() {
		s.answers()
		_, _ = conn.Close(), s.server.Close()
	}()
	s.requests()
}

// rest reads what is left of a request to cancel, whose first eight bytes have been read.
func rest(conn net.Conn) []byte {
	key := make([]byte, 8)
	n, _ := io.ReadFull(conn, key)
	return key[:n]
}

// pgCancel passes a request to cancel on, which the server takes without TLS, too.
func pgCancel(config *pgconn.Config, request []byte) {
	server, err := net.Dial("tcp", net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))))
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it answers nothing
	_, _ = server.Write(request)
	_, _ = io.Copy(io.Discard, server)
}

// pgSession passes the messages of one connection.
type pgSession struct {
	link           *faultLink
	client, server net.Conn
	// waiting holds, for each request that has no answer yet, the fault that strikes it or nil.
	waiting chan *fault
	// loggedIn is set once there is a session on the server.
	loggedIn bool
}

// login is the first request. It opens the session on the server as the client asks.
func (s *pgSession) login(begin []byte, config *pgconn.Config) bool {
	f := s.link.request()
	if f != nil && s.refused(f) {
		return false
	}
	var startup pgproto3.StartupMessage
	if startup.Decode(begin) != nil || s.send(&pgproto3.AuthenticationCleartextPassword{}) != nil {
		return false
	}
	password, err := readMessage(s.client, 1)
	if err != nil || password[0] != 'p' {
		return false
	}
	config.User, config.Database = startup.Parameters["user"], startup.Parameters["database"]
	config.Password = string(bytes.TrimRight(password[5:], "\x00"))
	delete(startup.Parameters, "user")
	delete(startup.Parameters, "database")
	config.RuntimeParams = startup.Parameters
	conn, err := pgconn.ConnectConfig(context.Background(), config)
	if err != nil {
		var refusal *pgconn.PgError
		if errors.As(err, &refusal) {
			_ = s.send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: refusal.Code, Message: refusal.Message})
		}
		return false
	}
	open, err := conn.Hijack()
	if err != nil {
		return false
	}
	s.server, s.loggedIn = open.Conn, true
	welcome := []pgproto3.BackendMessage{&pgproto3.AuthenticationOk{}, &pgproto3.BackendKeyData{ProcessID: open.PID, SecretKey: open.SecretKey}}
	for name, value := range open.ParameterStatuses {
		welcome = append(welcome, &pgproto3.ParameterStatus{Name: name, Value: value})
	}
	answer, err := encodeAll(append(welcome, &pgproto3.ReadyForQuery{TxStatus: 'I'}))
	return err == nil && s.answer(f, answer)
}

func encodeAll(messages []pgproto3.BackendMessage) ([]byte, error) {
	var out []byte
	for _, m := range messages {
		var err error
		if out, err = m.Encode(out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *pgSession) send(messages ...pgproto3.BackendMessage) error {
	out, err := encodeAll(messages)
	if err == nil {
		_, err = s.client.Write(out)
	}
	return err
}

func (s *pgSession) requests() {
	var batch []byte
	for {
		message, err := readMessage(s.client, 1)
		if err != nil {
			return
		}
		batch = append(batch, message...)
		switch message[0] {
		case 'Q', 'S':
			if !s.pass(batch) {
				return
			}
		case 'H', 'X', 'd', 'c', 'f': // nothing that ends a request
			if _, err := s.server.Write(batch); err != nil {
				return
			}
		default:
			continue
		}
		batch = nil
	}
}

// pass sends a request on, unless a fault keeps it: then the connection ends.
func (s *pgSession) pass(request []byte) bool {
	f := s.link.request()
	if f != nil && s.refused(f) {
		return false
	}
	s.waiting <- f
	_, err := s.server.Write(request)
	return err == nil
}

// refused reports whether the fault keeps a request from the server.
func (s *pgSession) refused(f *fault) bool {
	if f.sqlState == "" {
		return f.lost
	}
	state := f.sqlState
	if s.loggedIn {
		state = "57P01" // An administrator ends the session; the next login is refused.
	}
	_ = s.send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: state, Message: f.name})
	return true
}

// answers sends whole answers on: what the server said up to the point where it waits for the next request. What it says at
// its own end is no answer, and is sent on as it is.
func (s *pgSession) answers() {
	var answer []byte
	for {
		message, err := readMessage(s.server, 1)
		if err != nil {
			_, _ = s.client.Write(answer)
			return
		}
		if answer = append(answer, message...); message[0] != 'Z' {
			continue
		}
		if !s.answer(<-s.waiting, answer) {
			return
		}
		answer = nil
	}
}

// answer sends an answer, or what the fault leaves of it. It reports whether all of it went out.
func (s *pgSession) answer(f *fault, answer []byte) bool {
	out := answer
	if f != nil {
		s.link.spoil(f, len(out))
		out = out[:f.portion.of(len(out))]
	}
	_, err := s.client.Write(out)
	return err == nil && len(out) == len(answer)
}

// readMessage reads a message that begins with so many bytes of type, and its length.
func readMessage(from io.Reader, kind int) ([]byte, error) {
	head := make([]byte, kind+4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[kind:])
	if length < 4 || length > 1<<26 {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	message := slices.Concat(head, make([]byte, length-4))
	_, err := io.ReadFull(from, message[kind+4:])
	return message, err
}

// endSessions ends the sessions of a role as an administrator can, and as a failover does.
func endSessions(t *testing.T, server testenv.PostgreSQL, role string) error {
	conn, err := pgTry(t, server.Username, server.Password)
	if err != nil {
		return err
	}
	ctx := context.Background()
	_, err = conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role)
	return errors.Join(err, conn.Close(ctx))
}
