package postgresql

import (
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// codeNotGranted is the SQLSTATE of the only word that the server has about a GRANT of which it carried out nothing, or not all:
// a warning (https://www.postgresql.org/docs/current/errcodes-appendix.html, warning_privilege_not_granted).
const codeNotGranted = "01007"

// keepNotice keeps that the warning came on a connection, which one call at a time uses and which gets its messages when it does.
func keepNotice(conn *pgconn.PgConn, notice *pgconn.Notice) {
	if notice.Code == codeNotGranted {
		conn.CustomData()[codeNotGranted] = true
	}
}

// warnedOfGrant reports whether the warning has come on the connection since the last call.
func warnedOfGrant(conn *pgxpool.Conn) bool {
	kept := conn.Conn().PgConn().CustomData()
	warned := kept[codeNotGranted] != nil
	delete(kept, codeNotGranted)
	return warned
}
