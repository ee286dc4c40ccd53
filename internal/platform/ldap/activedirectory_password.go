package ldap

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	// attrNote is where the credential is described, beside what others have written there.
	attrNote = "adminDescription"
	// unknownPassword stands in a note for the id of a password that nobody knows.
	unknownPassword = "none"
)

// A note says which credential the account's one password is: when the domain says that it was set (0 until that was read
// back), then its id, time and label. If the domain says another time by now, somebody else has set another password.
func noteText(set string, c nhi.Credential) string {
	made := int64(0)
	if !c.CreatedAt.IsZero() {
		made = c.CreatedAt.UnixMicro()
	}
	return fmt.Sprintf("nhi-credential:v1:%s:%s:%d:%s", set, orDefault(c.ID, unknownPassword), made, url.QueryEscape(c.Label))
}

var notePattern = regexp.MustCompile(` ?\[?nhi-credential:v1:(\d+):([A-Za-z0-9]+):(\d+):([^:\s\]]*)\]?`)

// withNote puts a note behind what others have written.
func withNote(text, note string) string {
	rest := notePattern.ReplaceAllString(text, "")
	if rest == "" {
		return note
	}
	return rest + " [" + note + "]"
}

// credentials are the one password of the account, if somebody may know it.
func credentials(e *goldap.Entry) []nhi.Credential {
	set := e.GetEqualFoldAttributeValue(attrPasswordSet)
	others := []nhi.Credential{{ID: otherPassword, Label: otherPassword, CreatedAt: fileTime(set)}}
	m := notePattern.FindStringSubmatch(e.GetEqualFoldAttributeValue(attrNote))
	switch {
	case m == nil && (set == "0" || set == ""):
		return nil
	case m == nil, m[1] != "0" && m[1] != set:
		return others
	case m[2] == unknownPassword:
		return nil
	}
	micros, err := strconv.ParseInt(m[3], 10, 64)
	label, unescaping := url.QueryUnescape(m[4])
	if err != nil || unescaping != nil {
		return others
	}
	return []nhi.Credential{{ID: m[2], Label: label, CreatedAt: time.UnixMicro(micros).UTC()}}
}

// setPassword sets the password and notes whose it is, in one change, which fails if the note is not the old one: of two
// runs one wins. A second change notes when the domain says that it was set.
func (d *activeDirectory) setPassword(
	s *session, e *goldap.Entry, old string, password secret.Value, c nhi.Credential, more ...change,
) error {
	pending := withNote(old, noteText("0", c))
	changes := append([]change{replacing(attrUnicodePwd, unicodePwd(password))}, replacingText(attrNote, old, pending)...)
	if err := s.modify(e.DN, append(changes, more...)...); err != nil {
		return err
	}
	again, ok, err := s.entry(e.DN, []string{attrPasswordSet})
	if err != nil {
		return err
	}
	set := ""
	if ok {
		set = again.GetEqualFoldAttributeValue(attrPasswordSet)
	}
	if set == "" || set == "0" {
		return driver.Errorf(driver.PermissionDenied, "the password of %q was set and the directory does not show when: this login needs "+
			"the right to read %s", e.DN, attrPasswordSet)
	}
	return s.modify(e.DN, replacingText(attrNote, pending, withNote(old, noteText(set, c)))...)
}

// unicodePwd is a password as the attribute takes it: in quotes, in UTF-16, little-endian
// (https://learn.microsoft.com/openspecs/windows_protocols/ms-adts/6e803168-f140-4d23-b2d3-c3a8ab5917d2).
func unicodePwd(password secret.Value) string {
	var out strings.Builder
	for _, unit := range utf16.Encode([]rune(`"` + password.Reveal() + `"`)) {
		out.WriteByte(byte(unit & 0xff))
		out.WriteByte(byte(unit >> 8))
	}
	return out.String()
}

func (d *activeDirectory) slots() int { return 1 }

func (d *activeDirectory) issue(s *session, f *facts, e *goldap.Entry, request driver.IssueRequest) (driver.Issued, error) {
	password, credential := newPassword(d.name(e)), newCredential(request.Label)
	if err := d.setPassword(s, e, e.GetEqualFoldAttributeValue(attrNote), password, credential); err != nil {
		return driver.Issued{}, err
	}
	return driver.Issued{Credential: credential, Login: d.login(f, e), Secret: password}, nil
}

// login is what a simple bind takes beside a DN: every user has an implicit user principal name.
func (d *activeDirectory) login(f *facts, e *goldap.Entry) string {
	if upn := e.GetEqualFoldAttributeValue("userPrincipalName"); upn != "" {
		return upn
	}
	return d.name(e) + "@" + f.dnsDomain
}

// revokeCredential sets passwords that nobody knows, two: a domain accepts the last one before the present for an hour
// (OldPasswordAllowedPeriod, https://learn.microsoft.com/troubleshoot/windows-server/windows-security/new-setting-modifies-ntlm-network-authentication).
// Until the second is set the credential stays listed.
func (d *activeDirectory) revokeCredential(s *session, _ *facts, e *goldap.Entry, id string) error {
	i := slices.IndexFunc(credentials(e), func(c nhi.Credential) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	old := e.GetEqualFoldAttributeValue(attrNote)
	note := old
	if c := credentials(e)[i]; id != otherPassword {
		note = withNote(old, noteText("0", c))
	}
	changes := append([]change{replacing(attrUnicodePwd, unicodePwd(newPassword(d.name(e))))}, replacingText(attrNote, old, note)...)
	if err := s.modify(e.DN, changes...); err != nil {
		return err
	}
	return d.setPassword(s, e, note, newPassword(d.name(e)), nhi.Credential{})
}
