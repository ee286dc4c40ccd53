package resttest

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// RateLimits makes accounts and credentials of a platform that refuses, as one too many, a request of each call: every one
// in turn, alone or with all that follow. Such a call is repeated, so "rate limited" must mean what it says: nothing was
// done, or all of it was taken back. through opens a driver whose requests pass a middleware.
func RateLimits(t *testing.T, h drivertest.Harness, through func(change func(http.Handler) http.Handler) driver.Driver) {
	t.Helper()
	for _, onwards := range []bool{false, true} {
		open := func(n int) (driver.Driver, func() bool) {
			var seen atomic.Int64
			d := through(func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if i := seen.Add(1); i == int64(n) || (onwards && i > int64(n)) {
						http.Error(w, "slow down", http.StatusTooManyRequests)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			return d, func() bool { return seen.Load() >= int64(n) }
		}
		limitedCreation(t, h.Open(t), open)
		limitedIssue(t, h.Open(t), open)
	}
}

// refusing opens a driver whose request n is refused. The function tells whether it got so far.
type refusing func(n int) (driver.Driver, func() bool)

func limitedCreation(t *testing.T, whole driver.Driver, open refusing) {
	t.Helper()
	for n, reached := 1, true; reached; n++ {
		name := fmt.Sprintf("limited-%d-%s", n, suffix())
		d, isReached := open(n)
		_, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: limitedMark})
		reached = isReached()
		_, readErr := whole.ReadAccount(t.Context(), nhi.Ref{Name: name})
		if limited(t, d, n, err) && (readErr == nil || whole.Classify(readErr).Code != driver.NotFound) {
			t.Errorf("request %d is refused: %v, and reading the account gives %v", n, err, readErr)
		}
		if deleteErr := whole.DeleteAccount(t.Context(), nhi.Ref{Name: name}); deleteErr != nil {
			t.Fatal(deleteErr)
		}
	}
}

func limitedIssue(t *testing.T, whole driver.Driver, open refusing) {
	t.Helper()
	ref, err := whole.CreateAccount(t.Context(), driver.AccountSpec{Name: "limited-" + suffix(), Mark: limitedMark})
	if err != nil {
		t.Fatal(err)
	}
	for n, reached := 1, true; reached; n++ {
		d, isReached := open(n)
		issuer, ok := d.(driver.Issuer)
		if !ok {
			t.Fatalf("%T issues no credentials", d)
		}
		_, err := issuer.Issue(t.Context(), ref, driver.IssueRequest{Label: fmt.Sprintf("nhi-%d", n)})
		reached = isReached()
		account, readErr := whole.ReadAccount(t.Context(), ref)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if limited(t, d, n, err) && len(account.Credentials) > 0 {
			t.Errorf("request %d is refused: %v, and there is %+v", n, err, account.Credentials)
		}
		for _, c := range account.Credentials {
			if c.Label != fmt.Sprintf("nhi-%d", n) {
				t.Errorf("request %d is refused: the credential has the label %q", n, c.Label)
			}
			if again, ok := whole.(driver.Issuer); !ok || again.RevokeCredential(t.Context(), ref, c.ID) != nil {
				t.Fatalf("the credential %s is not revoked", c.ID)
			}
		}
	}
	if err := whole.DeleteAccount(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
}

// limited reports whether err, of a call whose request n was refused, says "rate limited". Else it must say that nobody
// knows, unless the driver got over it.
func limited(t *testing.T, d driver.Driver, n int, err error) bool {
	t.Helper()
	if err == nil {
		return false
	}
	code := d.Classify(err).Code
	if code != driver.RateLimited && code != driver.Unavailable {
		t.Errorf("request %d is refused: %v (%s)", n, err, code)
	}
	return code == driver.RateLimited
}

var limitedMark = nhi.Mark{Stack: "limited", Identity: "billing-agent"}

func suffix() string { return strings.ToLower(rand.Text()[:10]) }
