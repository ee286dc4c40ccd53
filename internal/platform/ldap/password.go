package ldap

import (
	"crypto/rand"
	"crypto/sha1" // #nosec G505 -- {SSHA} is SHA-1; what it protects is random, and as long as the digest.
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	// lockedPrefix before a value of userPassword makes it useless and keeps it: slapd knows the scheme and cannot decode
	// the rest. An unknown scheme would not do: the overlay ppolicy may take such a value for a new password.
	lockedPrefix = "{SSHA}!"
	// suspendedValue says that the account is suspended. It is a locked value of nothing.
	suspendedValue = lockedPrefix
	// noPassword stands in entries that must have a userPassword (simpleSecurityObject) and have none.
	noPassword = lockedPrefix + "!"

	// saltMark begins the salt of our own values: nhi:v1:<id>:<made at, in microseconds since 1970>:<label>. A salt may be
	// anything; ours is random by its id, and so the value carries its own description.
	saltMark = "nhi:v1:"
	// otherPassword is the id and the label of passwords that somebody else has set, all together.
	otherPassword = "password"
)

// newPassword returns 32 random bytes as text with small and capital letters and digits, without the name in it: what
// the policy of a domain asks for.
func newPassword(name string) secret.Value {
	for {
		random := make([]byte, 32)
		_, _ = rand.Read(random) // It never fails; see crypto/rand.
		text := base64.RawURLEncoding.EncodeToString(random)
		has := func(class func(rune) bool) bool { return strings.ContainsFunc(text, class) }
		if has(unicode.IsUpper) && has(unicode.IsLower) && has(unicode.IsDigit) &&
			(len(name) < 3 || !strings.Contains(strings.ToLower(text), strings.ToLower(name))) {
			return secret.New(text)
		}
	}
}

// newCredential describes a credential that is made now.
func newCredential(label string) nhi.Credential {
	return nhi.Credential{ID: rand.Text(), Label: label, CreatedAt: time.Now().UTC().Truncate(time.Microsecond)}
}

// passwordValue is the value of userPassword for a password: what slapd stores.
func passwordValue(scheme string, password secret.Value, c nhi.Credential) string {
	salt := []byte(fmt.Sprintf("%s%s:%d:%s", saltMark, c.ID, c.CreatedAt.UnixMicro(), c.Label))
	salted := append([]byte(password.Reveal()), salt...)
	var digest []byte
	if scheme == SchemeSSHA512 {
		sum := sha512.Sum512(salted)
		digest = sum[:]
	} else {
		sum := sha1.Sum(salted) // #nosec G401 -- See above.
		digest = sum[:]
	}
	return "{" + scheme + "}" + base64.StdEncoding.EncodeToString(append(digest, salt...))
}

// parsePassword reads the description from one of our own values; ok is false for others.
func parsePassword(value string) (c nhi.Credential, ok bool) {
	encoded, size := "", 0
	if rest, found := strings.CutPrefix(value, "{"+SchemeSSHA+"}"); found {
		encoded, size = rest, sha1.Size
	}
	if rest, found := strings.CutPrefix(value, "{"+SchemeSSHA512+"}"); found {
		encoded, size = rest, sha512.Size
	}
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || size == 0 || len(decoded) < size {
		return nhi.Credential{}, false
	}
	rest, ours := strings.CutPrefix(string(decoded[size:]), saltMark)
	parts := strings.SplitN(rest, ":", 3)
	if !ours || len(parts) != 3 {
		return nhi.Credential{}, false
	}
	micros, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return nhi.Credential{}, false
	}
	return nhi.Credential{ID: parts[0], Label: parts[2], CreatedAt: time.UnixMicro(micros).UTC()}, true
}

// unlocked returns what a value is when the account is not suspended, "" for those that are no password at all.
func unlocked(value string) string {
	if value == noPassword {
		return ""
	}
	rest, locked := strings.CutPrefix(value, lockedPrefix)
	if locked {
		return rest
	}
	return value
}

// worksAlready reports whether somebody can log in with a value.
func worksAlready(value string) bool { return !strings.HasPrefix(value, lockedPrefix) }

func errCannotSeePasswords(dn string) error {
	return driver.Errorf(driver.PermissionDenied, "the passwords of %q were changed and the directory does not show them: this login "+
		"needs the right to read userPassword there", dn)
}
