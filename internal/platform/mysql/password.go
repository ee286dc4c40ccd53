package mysql

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // The server's own scheme.
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

const (
	pluginNative = "mysql_native_password"
	pluginSHA2   = "caching_sha2_password"
)

// newPassword makes a random password of 256 bits in an alphabet that needs no quoting.
func newPassword() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // It never fails, by contract.
	return base64.RawURLEncoding.EncodeToString(random)
}

// nativeHash is what mysql_native_password stores, so that the password itself reaches neither the server nor its log. The
// scheme is weak for words that people choose; what is made here cannot be guessed from it.
func nativeHash(password string) string {
	first := sha1.Sum([]byte(password)) //nolint:gosec // The server's own scheme.
	second := sha1.Sum(first[:])        //nolint:gosec // The server's own scheme.
	return fmt.Sprintf("*%X", second)
}

// fingerprint tells stored forms of passwords apart without showing them.
func fingerprint(m method) string {
	sum := sha256.Sum256([]byte(m.plugin + ":" + m.stored))
	return hex.EncodeToString(sum[:])
}

// usable reports whether somebody could log in by this method.
func (m method) usable() bool { return m.stored != invalidHash && m.stored != noPassword }

// usable lists the methods by which somebody could log in.
func (u user) usable() []method {
	return slices.DeleteFunc(slices.Clone(u.methods), func(m method) bool { return !m.usable() })
}

// quote quotes a text for a statement. It relies on the sql_mode that every connection sets.
func quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}
