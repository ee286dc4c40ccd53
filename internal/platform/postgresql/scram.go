package postgresql

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	// scramIterations is PostgreSQL's own default. More would slow down each login and protect nothing: the passwords
	// made here are random and cannot be guessed from the verifier.
	scramIterations = 4096
	saltBytes       = 16
	passwordBytes   = 32
)

// newPassword makes a random password of 256 bits, in ASCII.
func newPassword() secret.Value {
	random := make([]byte, passwordBytes)
	_, _ = rand.Read(random) // It never fails, by contract.
	return secret.New(base64.RawURLEncoding.EncodeToString(random))
}

// newVerifier makes what PostgreSQL stores in place of a password, with a new salt.
func newVerifier(password secret.Value) (string, error) {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // It never fails, by contract.
	return verifier(password, salt, scramIterations)
}

// verifier computes a SCRAM-SHA-256 verifier (RFC 5802, RFC 7677) in PostgreSQL's notation, so that the password
// itself reaches neither the server nor its log. The password must be ASCII: nothing is normalised.
func verifier(password secret.Value, salt []byte, iterations int) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password.Reveal(), salt, iterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("derive the password's verifier: %w", err)
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]),
		encode(mac(salted, "Server Key"))), nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
