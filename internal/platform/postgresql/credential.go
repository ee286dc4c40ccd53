package postgresql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	// loginMark begins the comment of a credential role:
	// nhi-credential:v1:<oid of the account>:<made at>:<expires at>:<label>, with times in microseconds since 1970.
	loginMark = "nhi-credential:v1:"
	// ownPassword is the id and label of the password of the account's own role, which somebody else has set.
	ownPassword = "password"
)

// loginSuffixes end the names of credential roles; there is one for each slot.
var loginSuffixes = []string{"~a", "~b"}

func isLoginName(name string) bool {
	return slices.ContainsFunc(loginSuffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// loginName names the credential role in a slot. Where the account's name leaves no room its oid stands instead.
func (a account) loginName(slot string) string {
	if len(a.name)+len(slot) <= maxName {
		return a.name + slot
	}
	return strconv.FormatUint(uint64(a.oid), 10) + slot
}

// loginComment is what the comment of a credential role says.
type loginComment struct {
	madeAt, expiresAt time.Time
	label             string
}

func (l loginComment) text(a account) string {
	return fmt.Sprintf("%s%d:%d:%d:%s", loginMark, a.oid, micros(l.madeAt), micros(l.expiresAt), l.label)
}

// parseLoginComment returns the zero value for the comments of other roles.
func parseLoginComment(comment string) loginComment {
	rest, ours := strings.CutPrefix(comment, loginMark)
	parts := strings.SplitN(rest, ":", 4)
	if !ours || len(parts) != 4 {
		return loginComment{}
	}
	return loginComment{madeAt: fromMicros(parts[1]), expiresAt: fromMicros(parts[2]), label: parts[3]}
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// credentials lists the account's own password, if it has one and we may see it, and its credential roles.
func (a account) credentials() []nhi.Credential {
	var found []nhi.Credential
	for _, login := range a.logins {
		comment := parseLoginComment(login.comment)
		found = append(found, nhi.Credential{
			ID: login.credentialID(), Label: comment.label, CreatedAt: comment.madeAt, ExpiresAt: login.validUntil,
		})
	}
	slices.SortStableFunc(found, func(x, y nhi.Credential) int { return x.CreatedAt.Compare(y.CreatedAt) })
	if a.hasPassword {
		found = slices.Insert(found, 0, nhi.Credential{ID: ownPassword, Label: ownPassword, ExpiresAt: a.validUntil})
	}
	return found
}

// credentialID contains the oid, because a later credential may get the same name.
func (r role) credentialID() string { return fmt.Sprintf("%s:%d", r.name, r.oid) }

// Slots implements driver.Issuer.
func (c *client) Slots() int { return len(loginSuffixes) }

// Issue implements driver.Issuer: it makes a login role that is a member of the account and acts as it, so that what
// the login creates belongs to the account.
func (c *client) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	if !utf8.ValidString(request.Label) || strings.ContainsRune(request.Label, 0) {
		return driver.Issued{}, driver.Errorf(driver.Invalid, "the label of a credential must be UTF-8 without null characters")
	}
	password := newPassword()
	verifier, err := newVerifier(password)
	if err != nil {
		return driver.Issued{}, err
	}
	var made role
	err = c.write(ctx, func(tx pgx.Tx) error {
		a, err := c.find(ctx, tx, ref)
		if err != nil {
			return err
		}
		made, err = c.makeLogin(ctx, tx, a, request, verifier)
		return err
	})
	if err != nil {
		return driver.Issued{}, err
	}
	credential := account{logins: []role{made}}.credentials()[0]
	return driver.Issued{Credential: credential, Login: made.name, Secret: password}, nil
}

func (c *client) makeLogin(
	ctx context.Context, tx pgx.Tx, a account, request driver.IssueRequest, verifier string,
) (role, error) {
	for _, login := range a.logins {
		if parseLoginComment(login.comment).label == request.Label {
			return role{}, driver.Errorf(driver.AlreadyExists, "account %q has a credential labelled %q already",
				a.name, request.Label)
		}
	}
	if len(a.logins) >= c.Slots() {
		return role{}, driver.Errorf(driver.Conflict, "account %q has %d credentials already, which is all that it can have",
			a.name, len(a.logins))
	}
	name, err := freeLoginName(ctx, tx, a)
	if err != nil {
		return role{}, err
	}
	comment := loginComment{expiresAt: request.ExpiresAt, label: request.Label}
	if err := tx.QueryRow(ctx, "select clock_timestamp()").Scan(&comment.madeAt); err != nil {
		return role{}, err
	}
	until := earlier(a.validUntil, request.ExpiresAt)
	err = run(ctx, tx,
		fmt.Sprintf("create role %s nosuperuser nocreatedb nocreaterole inherit %s connection limit %d valid until %s"+
			" password %s",
			ident(name), loginSQL(a.canLogin), a.connLimit, timeLiteral(until), literal(verifier)),
		"grant "+ident(a.name)+" to "+ident(name),
		"alter role "+ident(name)+" set role = "+literal(a.name),
		commentSQL(name, comment.text(a)))
	if err != nil {
		return role{}, err
	}
	again, err := c.find(ctx, tx, a.ref())
	if err != nil {
		return role{}, err
	}
	i := slices.IndexFunc(again.logins, func(r role) bool { return r.name == name })
	if i < 0 {
		return role{}, driver.Errorf(driver.Unknown, "the new credential role %q of %q is not listed", name, a.name)
	}
	return again.logins[i], nil
}

// freeLoginName returns the first slot's name that no role has, be it ours or somebody else's.
func freeLoginName(ctx context.Context, tx pgx.Tx, a account) (string, error) {
	for _, slot := range loginSuffixes {
		var taken bool
		name := a.loginName(slot)
		if err := tx.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1)", name).Scan(&taken); err != nil {
			return "", err
		}
		if !taken {
			return name, nil
		}
	}
	return "", driver.Errorf(driver.Conflict, "both names of credential roles of %q, %q and %q, are taken by other roles",
		a.name, a.loginName(loginSuffixes[0]), a.loginName(loginSuffixes[1]))
}

// RevokeCredential implements driver.Issuer. Sessions of the credential end with it; what its role owns goes to the
// account.
func (c *client) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	var login *role
	var to heir
	err := c.write(ctx, func(tx pgx.Tx) error {
		a, err := c.find(ctx, tx, ref)
		if err != nil {
			return err
		}
		to = heir{name: a.name, account: true}
		if id == ownPassword {
			return run(ctx, tx, "alter role "+ident(a.name)+" password null")
		}
		i := slices.IndexFunc(a.logins, func(r role) bool { return r.credentialID() == id })
		if i < 0 {
			return nil
		}
		login = &a.logins[i]
		return run(ctx, tx, "alter role "+ident(login.name)+" nologin password null")
	})
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	if err != nil || login == nil {
		return err
	}
	return c.dropRoles(ctx, []role{*login}, to)
}

// Verify implements driver.Verifier by logging in.
func (c *client) Verify(ctx context.Context, login string, text secret.Value) error {
	config := c.config.ConnConfig.Copy()
	config.User, config.Password = login, text.Reveal()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		return conn.Close(ctx)
	}
	// PostgreSQL looks at the right to connect to the database only after it has accepted login and password. The
	// right is an entitlement; the credential is good.
	if sqlState(err) == codeInsufficientPrivilege {
		return nil
	}
	return fmt.Errorf("log in as %q: %w", login, err)
}

// sqlState returns the server's code of an error, "" if the error is none of the server's.
func sqlState(err error) string {
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}
