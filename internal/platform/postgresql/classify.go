package postgresql

import (
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// SQLSTATEs that the driver asks for by name.
const (
	codeInsufficientPrivilege = "42501"
	codeDependentPrivileges   = "2BP01"
	codeLimitExceeded         = "54000"
	codeNotSupported          = "0A000"
)

// codes maps SQLSTATEs of five characters, and classes of two.
//
// None of them is NotFound: that an account does not exist the driver learns from an answer, not from an error. What a
// statement names was looked up before; if it has gone since, the next attempt says so.
var codes = map[string]driver.Code{
	"08":    driver.Unavailable,      // connection exceptions
	"22":    driver.Invalid,          // data exceptions: a name that the server's encoding cannot hold
	"28":    driver.Unauthenticated,  // password refused, not permitted to log in
	"40":    driver.Conflict,         // serialization failure, deadlock
	"42":    driver.Invalid,          // syntax, undefined and duplicate objects, wrong object type
	"53":    driver.Unavailable,      // out of connections, memory, disk
	"54":    driver.Invalid,          // a limit of the server itself: the access control list of an object is full
	"57":    driver.Unavailable,      // shut down, starting up, cancelled
	"58":    driver.Unavailable,      // the server's own I/O
	"0A000": driver.Unsupported,      // feature not supported
	"0LP01": driver.Invalid,          // invalid grant operation: circular membership, privilege of another class
	"0P000": driver.Invalid,          // invalid role specification
	"23505": driver.AlreadyExists,    // lost the race for a role's name
	"25P03": driver.Unavailable,      // our transaction was idle for too long
	"25006": driver.Unavailable,      // read-only: a standby, or a primary that is being switched over
	"2BP01": driver.Invalid,          // rights passed on to others depend on it
	"3D000": driver.Invalid,          // the configured database does not exist
	"3F000": driver.Invalid,          // no such schema
	"42501": driver.PermissionDenied, // insufficient privilege
	"42710": driver.AlreadyExists,    // duplicate object
	"42939": driver.Invalid,          // reserved name
	"55006": driver.Conflict,         // object in use
	"55P03": driver.Conflict,         // lock not available
}

// Classify implements driver.Driver.
func (c *client) Classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return driver.Verdict{Code: codeOfAnswer(answer)}
	}
	var network net.Error
	var connecting *pgconn.ConnectError
	switch {
	case errors.As(err, &network), errors.As(err, &connecting), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, pgx.ErrTxClosed),
		pgconn.Timeout(err), pgconn.SafeToRetry(err):
		return driver.Verdict{Code: driver.Unavailable}
	}
	return driver.Verdict{Code: driver.Unknown}
}

func codeOfAnswer(answer *pgconn.PgError) driver.Code {
	// The server has no code of its own for two changes of one catalog row that meet.
	if answer.Code == "XX000" && strings.Contains(answer.Message, "tuple concurrently") {
		return driver.Conflict
	}
	if code, ok := codes[answer.Code]; ok {
		return code
	}
	if len(answer.Code) == 5 {
		return codes[answer.Code[:2]]
	}
	return driver.Unknown
}
