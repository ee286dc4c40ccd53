package ldap

import (
	"errors"
	"fmt"
	"net"
)

const (
	// maxEntry is how many bytes one entry of a search may have: a group with half a million members.
	maxEntry = 64 << 20
	// maxOther is how many any other part of an answer may have: a result, a referral, the controls.
	maxOther = 64 << 10
	// maxDepth is how deep an answer may be nested. Values of attributes lie six deep (RFC 4511, 4.5.2).
	maxDepth = 12
	// sequence is the tag of a message (RFC 4511, 4.1.1), searchEntry that of a search's entry (4.5.2).
	sequence    = 0x30
	searchEntry = 0x64
)

// guard is a connection on which the library reads only what a directory may say as far as length and nesting go (RFC 4511,
// section 5.1). The library calls itself for every level of nesting and keeps whatever length is announced: a server that
// lies would end the process, and with it the state of everything that it was at work on.
type guard struct {
	net.Conn
	// at counts the bytes that were read, skip what is left of the content of an element that holds no others.
	at, skip int64
	// ends are where the open elements end, the innermost last.
	ends []int64
	// header is the part of an element's tag and length that was read.
	header []byte
}

// Read implements net.Conn.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if refused := g.check(p[:n]); refused != nil {
		return 0, refused
	}
	return n, err
}

func (g *guard) check(text []byte) error {
	for len(text) > 0 {
		if n := min(g.skip, int64(len(text))); n > 0 {
			g.skip, g.at, text = g.skip-n, g.at+n, text[n:]
			g.close()
			continue
		}
		g.header = append(g.header, text[0])
		g.at, text = g.at+1, text[1:]
		length, whole, err := lengthIn(g.header)
		if err != nil {
			return err
		}
		if !whole {
			continue
		}
		if err := g.open(g.header[0], length); err != nil {
			return err
		}
		g.header = g.header[:0]
		g.close()
	}
	return nil
}

// open begins an element.
func (g *guard) open(tag byte, length int64) error {
	most := int64(maxOther)
	switch depth := len(g.ends); {
	case depth >= maxDepth:
		return fmt.Errorf("the server's answer is not LDAP: it is nested more than %d deep", maxDepth)
	case depth == 0 && tag != sequence:
		return fmt.Errorf("the server's answer is not LDAP: it begins with %#x", tag)
	case depth == 0:
		most = maxEntry + 3*maxOther
	case depth > 1:
		most = g.ends[depth-1] - g.at
	case tag == searchEntry:
		most = maxEntry
	}
	if length > most {
		return fmt.Errorf("the server's answer is not LDAP: a part of it announces %d bytes where %d is the most", length, most)
	}
	const constructed = 0x20
	if tag&constructed == 0 {
		g.skip = length
		return nil
	}
	g.ends = append(g.ends, g.at+length)
	return nil
}

// close ends what ends here.
func (g *guard) close() {
	for n := len(g.ends); g.skip == 0 && n > 0 && g.ends[n-1] == g.at; n-- {
		g.ends = g.ends[:n-1]
	}
}

// lengthIn reads the length of an element from the beginning of its tag; whole is false if header ends too early. LDAP has
// neither tags of several bytes nor lengths that are left open.
func lengthIn(header []byte) (length int64, whole bool, err error) {
	const manyBytes, open = 0x1f, 0x80
	switch {
	case header[0]&manyBytes == manyBytes:
		return 0, false, errors.New("the server's answer is not LDAP: it has a tag of several bytes")
	case len(header) < 2:
		return 0, false, nil
	case header[1] < open:
		return int64(header[1]), true, nil
	}
	count := int(header[1] - open)
	switch {
	case count == 0 || count > 4:
		return 0, false, fmt.Errorf("the server's answer is not LDAP: the length of a part has %d bytes", count)
	case len(header) < 2+count:
		return 0, false, nil
	}
	for _, b := range header[2:] {
		length = length<<8 | int64(b)
	}
	return length, true, nil
}
