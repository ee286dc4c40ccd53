package mysql

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// slots is how many passwords an account can have: MySQL keeps a secondary one, MariaDB tries one method after the other.
// On MariaDB both are of mysql_native_password, because widespread clients follow the server to another method only once in
// a login: with two of another kind, or a mixture, the second password would be refused to them.
const slots = 2

// credential is what is noted of a password that this product made. It says nothing about one that is not there: which
// passwords an account has, the server alone knows.
type credential struct {
	id, label string
	// fingerprint tells the stored password that is meant. It is empty while a run is between making a password and noting
	// what the server stores of it.
	fingerprint string
	madeAt      time.Time
}

// known is a credential with its place among the account's usable methods.
type known struct {
	nhi.Credential
	index int
}

// credentialList lists the usable methods: those that others made under the name of their method, before ours.
func (a account) credentialList() []known {
	var found []known
	noted := make([]bool, len(a.credentials))
	var strangers []int
	for i, m := range a.usable() {
		j := slices.IndexFunc(a.credentials, func(n credential) bool { return n.fingerprint == fingerprint(m) })
		if j < 0 {
			strangers = append(strangers, i)
			continue
		}
		noted[j] = true
		found = append(found, known{a.credentials[j].metadata(), i})
	}
	// A note without a fingerprint is of a killed run. It means the one password that no other note is about.
	pending := slices.IndexFunc(a.credentials, func(n credential) bool { return n.fingerprint == "" })
	if pending >= 0 && len(strangers) == 1 {
		found = append(found, known{a.credentials[pending].metadata(), strangers[0]})
		strangers = nil
	}
	slices.SortStableFunc(found, func(x, y known) int { return x.CreatedAt.Compare(y.CreatedAt) })
	var theirs []known
	for n, i := range strangers {
		id := a.usable()[i].plugin
		if n > 0 {
			id = fmt.Sprintf("%s#%d", id, n+1)
		}
		theirs = append(theirs, known{nhi.Credential{ID: id}, i})
	}
	return append(theirs, found...)
}

func (n credential) metadata() nhi.Credential {
	return nhi.Credential{ID: n.id, Label: n.label, CreatedAt: n.madeAt}
}

// Slots implements driver.Issuer.
func (c *client) Slots() int { return slots }

// Issue implements driver.Issuer. The label is noted before the password is made: a run that is killed between the two
// leaves a note about no password, which the next Issue removes.
func (c *client) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	if !utf8.ValidString(request.Label) || strings.ContainsRune(request.Label, 0) || len(request.Label) > 255 {
		return driver.Issued{}, driver.Errorf(driver.Invalid, "the label of a credential must be UTF-8 of at most 255 bytes")
	}
	password := newPassword()
	issued := driver.Issued{Secret: secret.New(password)}
	err := c.change(ctx, ref, func(q querier, f flavor, a account) error {
		list := a.credentialList()
		if slices.ContainsFunc(list, func(k known) bool { return k.Label != "" && k.Label == request.Label }) {
			return driver.Errorf(driver.AlreadyExists, "account %q has a credential labelled %q already", a.who, request.Label)
		}
		if len(list) >= slots {
			return driver.Errorf(driver.Conflict, "account %q has %d credentials already, and there is room for %d", a.who, len(list), slots)
		}
		if err := c.dropStaleNotes(ctx, q, a, list); err != nil {
			return err
		}
		id := rand.Text()
		if err := c.addPassword(ctx, q, f, a, password, credential{id: id, label: request.Label}); err != nil {
			return err
		}
		again, err := c.find(ctx, q, f, a.ref())
		if err != nil {
			return err
		}
		made := again.credentialList()
		i := slices.IndexFunc(made, func(k known) bool { return k.ID == id })
		if i < 0 {
			return driver.Errorf(driver.Unknown, "the new password of %q is not listed", a.who)
		}
		issued.Credential, issued.Login = made[i].Credential, a.user.user
		return nil
	})
	if err != nil {
		return driver.Issued{}, err
	}
	return issued, nil
}

func (c *client) addPassword(ctx context.Context, q querier, f flavor, a account, password string, n credential) error {
	statement, stored := f.addPassword(a.user, password)
	if stored != "" {
		n.fingerprint = fingerprint(method{pluginNative, stored})
	}
	_, err := q.ExecContext(ctx, "insert into "+c.table("credentials")+" (User, Host, id, label, fingerprint, made_at) "+
		"values (?, ?, ?, ?, ?, cast(unix_timestamp(now(6)) * 1000000 as unsigned))",
		a.user.user, a.host, n.id, n.label, n.fingerprint)
	if err != nil {
		return err
	}
	if err := run(ctx, q, statement); err != nil {
		if errorNumber(err) != 0 { // The server said no, so there is nothing to note.
			_ = c.dropNote(context.WithoutCancel(ctx), q, a.who, n.id)
		}
		return fmt.Errorf("give %q one more password: %w", a.who, err)
	}
	if stored != "" {
		return nil
	}
	again, err := c.find(ctx, q, f, a.ref())
	if err != nil {
		return err
	}
	before := a.usable()
	for _, m := range again.usable() {
		if !slices.Contains(before, m) {
			_, err = q.ExecContext(ctx, "update "+c.table("credentials")+" set fingerprint = ? where User = ? and Host = ? and id = ?",
				fingerprint(m), a.user.user, a.host, n.id)
			return err
		}
	}
	return driver.Errorf(driver.Unknown, "the server took a password for %q and does not show it", a.who)
}

// dropStaleNotes removes notes about passwords that are no more.
func (c *client) dropStaleNotes(ctx context.Context, q querier, a account, live []known) error {
	for _, n := range a.credentials {
		if !slices.ContainsFunc(live, func(k known) bool { return k.ID == n.id }) {
			if err := c.dropNote(ctx, q, a.who, n.id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *client) dropNote(ctx context.Context, q querier, w who, id string) error {
	_, err := q.ExecContext(ctx, "delete from "+c.table("credentials")+" where User = ? and Host = ? and id = ?", w.user, w.host, id)
	return err
}

// RevokeCredential implements driver.Issuer.
func (c *client) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	return absent(c.change(ctx, ref, func(q querier, f flavor, a account) error {
		list := a.credentialList()
		i := slices.IndexFunc(list, func(k known) bool { return k.ID == id })
		if i < 0 {
			return nil
		}
		if err := run(ctx, q, f.dropPassword(a.user, list[i].index)...); err != nil {
			return err
		}
		return c.dropNote(ctx, q, a.who, id)
	}))
}

// Verify implements driver.Verifier by logging in. The account must be one that this machine may use: a password of
// app@10.0.0.% proves itself from there alone.
func (c *client) Verify(ctx context.Context, login string, text secret.Value) error {
	if err := c.login(ctx, login, text); err != nil {
		return fmt.Errorf("log in as %q: %w", login, err)
	}
	return nil
}
