package mysql

import (
	"crypto/tls"
	"crypto/x509"
	sqldriver "database/sql/driver"
	"errors"
	"io"
	"net"

	mysqlclient "github.com/go-sql-driver/mysql"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// errCannotUser is how the servers answer that CREATE USER found the account, or ALTER and DROP USER did not find it.
const errCannotUser = 1396

// codes maps the servers' error numbers. None of them is NotFound: that an account does not exist the driver learns from an
// answer, not from an error. What a statement names was looked up before; if it has gone since, the next attempt says so.
var codes = map[uint16]driver.Code{
	1040: driver.Unavailable,      // too many connections
	1042: driver.Unavailable,      // cannot get the host name
	1044: driver.PermissionDenied, // access denied to a database
	1045: driver.Unauthenticated,  // access denied, to a login or to a GRANT
	1046: driver.Invalid,          // no database selected
	1049: driver.Invalid,          // unknown database
	1053: driver.Unavailable,      // server shutdown
	1054: driver.Invalid,          // unknown column
	1059: driver.Invalid,          // identifier too long
	1064: driver.Invalid,          // syntax: a privilege that this version does not have
	1102: driver.Invalid,          // incorrect database name
	1103: driver.Invalid,          // incorrect table name
	1129: driver.Unavailable,      // host is blocked
	1130: driver.Unauthenticated,  // host is not allowed to connect
	1133: driver.Conflict,         // no matching row in the user table
	1141: driver.Conflict,         // no such grant
	1142: driver.PermissionDenied, // command denied on a table
	1143: driver.PermissionDenied, // command denied on a column
	1144: driver.Invalid,          // illegal GRANT/REVOKE command
	1146: driver.Invalid,          // no such table
	1147: driver.Conflict,         // no such grant on a table
	1158: driver.Unavailable,      // network error
	1159: driver.Unavailable,      // network read timeout
	1203: driver.Unavailable,      // too many connections of this user
	1205: driver.Conflict,         // lock wait timeout
	1213: driver.Conflict,         // deadlock
	1221: driver.Invalid,          // incorrect usage of GRANT: a privilege of another level
	1226: driver.Unavailable,      // a limit of this user is used up
	1227: driver.PermissionDenied, // access denied, a privilege is needed
	1251: driver.Unsupported,      // the client does not know the authentication method
	1290: driver.Unavailable,      // read-only
	1305: driver.Invalid,          // no such routine
	1317: driver.Unavailable,      // query interrupted
	1370: driver.PermissionDenied, // command denied on a routine
	1403: driver.Conflict,         // no such grant on a routine
	1410: driver.PermissionDenied, // not allowed to create a user with GRANT
	1470: driver.Invalid,          // a name is too long
	1698: driver.Unauthenticated,  // access denied without a password, or to a GRANT of a role
	1836: driver.Unavailable,      // read-only mode
	1927: driver.Unavailable,      // connection was killed
	1959: driver.Invalid,          // invalid role specification
	1961: driver.PermissionDenied, // role cannot be granted by us
	1962: driver.Conflict,         // role cannot be revoked
	3118: driver.Unauthenticated,  // account is locked (MySQL)
	3523: driver.Invalid,          // no such role (MySQL)
	3619: driver.PermissionDenied, // no right on a role (MySQL)
	4151: driver.Unauthenticated,  // account is locked (MariaDB)

	errCannotUser: driver.Conflict,
}

// Classify implements driver.Driver.
func (c *client) Classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	var answer *mysqlclient.MySQLError
	if errors.As(err, &answer) {
		code := codes[answer.Number]
		if login := new(loginError); code == driver.Unauthenticated && !errors.As(err, &login) {
			code = driver.PermissionDenied // We are logged in, and a statement was refused.
		}
		return driver.Verdict{Code: code}
	}
	var verification *tls.CertificateVerificationError
	var unknownCA x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var network net.Error
	switch {
	case errors.As(err, &verification), errors.As(err, &unknownCA), errors.As(err, &hostname), errors.Is(err, mysqlclient.ErrNoTLS):
		return driver.Verdict{Code: driver.Invalid} // Repeating does not help: the wrong host, or the authority is missing.
	case errors.Is(err, mysqlclient.ErrMalformPkt), errors.Is(err, mysqlclient.ErrPktSync), errors.Is(err, mysqlclient.ErrPktSyncMul):
		return driver.Verdict{Code: driver.Unknown}
	case errors.Is(err, mysqlclient.ErrUnknownPlugin), errors.Is(err, mysqlclient.ErrOldProtocol):
		return driver.Verdict{Code: driver.Unsupported}
	case errors.As(err, &network), errors.Is(err, mysqlclient.ErrInvalidConn), errors.Is(err, sqldriver.ErrBadConn),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return driver.Verdict{Code: driver.Unavailable}
	}
	return driver.Verdict{Code: driver.Unknown}
}
