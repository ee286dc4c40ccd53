package postgresql

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgproto3"
)

// longestMessage bounds a message of the server. One row is a message, and the longest rows here are access control lists.
const longestMessage = 64 << 20

// boundedFrontend is a frontend that ends the connection at a message longer than longestMessage: the library would make room
// for whatever length a server announces.
func boundedFrontend(r io.Reader, w io.Writer) *pgproto3.Frontend {
	return pgproto3.NewFrontend(&boundedMessages{r: r}, w)
}

// boundedMessages passes messages on and reads their lengths on the way: a byte for the kind, and four for the length of
// what follows with these four (https://www.postgresql.org/docs/current/protocol-message-formats.html).
type boundedMessages struct {
	r      io.Reader
	header [5]byte
	// got is how much of a header is there, left how much of a message is to come.
	got, left int
}

func (b *boundedMessages) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if b.left > 0 {
			passed := min(b.left, len(rest))
			b.left, rest = b.left-passed, rest[passed:]
			continue
		}
		copied := copy(b.header[b.got:], rest)
		b.got, rest = b.got+copied, rest[copied:]
		if b.got < len(b.header) {
			continue
		}
		length := binary.BigEndian.Uint32(b.header[1:])
		if length > longestMessage {
			return 0, fmt.Errorf("the server announces a message of %d bytes, which is more than any of PostgreSQL's that is asked for here", length)
		}
		b.got, b.left = 0, max(int(length)-4, 0) // the library refuses less than 4
	}
	return n, err
}
