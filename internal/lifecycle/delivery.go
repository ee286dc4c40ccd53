package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// NoteField is the field that is delivered beside the declared ones. It holds no secret. It stands with the data and not
// in the store's metadata, because some stores write these one after the other: a run that is killed in between must
// not leave a note about another credential than the one that is there.
const NoteField = "nhi"

// Place is a path in a secret store.
type Place struct{ Platform, Path string }

func (p Place) String() string { return fmt.Sprintf("%q in %q", p.Path, p.Platform) }

// Delivery is one place where the credential goes, and in which form.
type Delivery struct {
	Place
	Fields map[string]Template
}

// note says which credential a store holds and where in its fields the secret stands.
type note struct {
	Stack      string    `json:"stack"`
	Identity   string    `json:"identity"`
	Platform   string    `json:"platform"`
	Label      string    `json:"label"`
	Credential string    `json:"credential"`
	Login      string    `json:"login"`
	IssuedAt   time.Time `json:"issued_at"`
	// Field holds the secret from byte From to byte To.
	Field   string `json:"field"`
	From    int    `json:"from"`
	To      int    `json:"to"`
	Encoded bool   `json:"url_encoded,omitempty"`
	// Fields are the templates of the other fields, so that whoever finds the note can deliver the same again.
	Fields map[string]string `json:"fields"`
	// Sum is a digest of the other fields. It is as well protected as they are.
	Sum string `json:"sum"`
}

// fresh is a credential with its secret: one that was just issued, or was read back from a store.
type fresh struct {
	id, label, login, account string
	issuedAt                  time.Time
	secret                    secret.Value
}

// values are what the placeholders stand for.
func (c fresh) values() map[string]string {
	return map[string]string{
		fillLogin: c.login, fillLoginURLEncoded: urlEncode(c.login), fillSecret: c.secret.Reveal(), fillSecretURL: urlEncode(c.secret.Reveal()),
		fillAccount: c.account, fillLabel: c.label,
	}
}

// content is what a store shall hold, and those fields of it that must not be shown.
func (d Delivery) content(owner note, c fresh) (driver.StoredSecret, []secret.Value, error) {
	values := c.values()
	stored := driver.StoredSecret{Fields: make(map[string]secret.Value)}
	hide := []secret.Value{c.secret, secret.New(values[fillSecretURL])}
	n := owner
	n.Label, n.Credential, n.Login, n.IssuedAt = c.label, c.id, c.login, c.issuedAt
	n.Fields = make(map[string]string, len(d.Fields))
	for _, name := range fieldNames(d.Fields) {
		n.Fields[name] = d.Fields[name].String()
		text := secret.New(d.Fields[name].render(values))
		stored.Fields[name] = text
		if from, to, encoded, found := d.Fields[name].secretAt(values); found {
			hide = append(hide, text)
			n.Field, n.From, n.To, n.Encoded = name, from, to, encoded
		}
	}
	n.Sum = sum(stored.Fields)
	text, err := json.Marshal(n)
	if err != nil {
		return driver.StoredSecret{}, nil, fmt.Errorf("note for %s: %w", d.Place, err)
	}
	stored.Fields[NoteField] = secret.New(string(text))
	stored.Metadata = map[string]string{
		"nhi_stack": n.Stack, "nhi_identity": n.Identity, "nhi_platform": n.Platform, "nhi_label": n.Label,
	}
	return stored, hide, nil
}

// sum digests all fields but the note.
func sum(fields map[string]secret.Value) string {
	digest := sha256.New()
	for _, name := range fieldNames(fields) {
		if name != NoteField {
			value := fields[name].Reveal()
			_, _ = fmt.Fprintf(digest, "%d:%s%d:", len(name), name, len(value))
			_, _ = digest.Write([]byte(value))
		}
	}
	return hex.EncodeToString(digest.Sum(nil))
}

// found is what a place holds.
type found struct {
	stored driver.StoredSecret
	// ours is set if the note says that it is this rotation's.
	ours bool
	note note
	// credential is whole only if readable: nobody changed what was delivered.
	readable   bool
	credential fresh
}

// of reports whether the place holds this rotation's credential with an id and a label.
func (f found) of(id, label string) bool {
	return f.ours && rotation.Holding{ID: f.note.Credential, Label: f.note.Label}.Of(rotation.Credential{ID: id, Label: label})
}

// look reads a place. Nothing there is no error.
func look(ctx context.Context, conn *fleet.Conn, place Place, owner note) (found, error) {
	stored, err := conn.GetSecret(ctx, place.Path)
	if err != nil && driver.CodeOf(err) == driver.NotFound {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	out := found{stored: stored}
	out.note, out.ours = readNote(stored)
	out.ours = out.ours && out.note.Stack == owner.Stack && out.note.Identity == owner.Identity && out.note.Platform == owner.Platform
	if !out.ours {
		return out, nil
	}
	var text secret.Value
	text, out.readable = out.note.secret(stored)
	conn.Hide(text)
	n := out.note
	out.credential = fresh{id: n.Credential, label: n.Label, login: n.Login, issuedAt: n.IssuedAt, secret: text}
	return out, nil
}

func readNote(stored driver.StoredSecret) (note, bool) {
	var n note
	err := json.Unmarshal([]byte(stored.Fields[NoteField].Reveal()), &n)
	return n, err == nil && n.Label != ""
}

// secret cuts the secret out of its field, unless somebody has changed a field.
func (n note) secret(stored driver.StoredSecret) (secret.Value, bool) {
	text := stored.Fields[n.Field].Reveal()
	if n.From < 0 || n.To > len(text) || n.From >= n.To || n.Sum != sum(stored.Fields) {
		return secret.Value{}, false
	}
	text = text[n.From:n.To]
	if n.Encoded {
		plain, err := url.PathUnescape(text)
		if err != nil {
			return secret.Value{}, false
		}
		text = plain
	}
	return secret.New(text), true
}

// same reports whether a place holds exactly what it shall.
func same(have, want driver.StoredSecret) bool {
	if len(have.Fields) != len(want.Fields) {
		return false
	}
	for name, value := range want.Fields {
		if got, ok := have.Fields[name]; !ok || !got.Equal(value) {
			return false
		}
	}
	for key, value := range want.Metadata {
		if have.Metadata[key] != value {
			return false
		}
	}
	return true
}

// putTries is how often a delivery is decided anew after another writer came first, or an answer was lost.
const putTries = 3

// put makes place hold want, and proves it by reading back. mayReplace judges what is there.
func put(ctx context.Context, conn *fleet.Conn, place Place, owner note, want driver.StoredSecret, hide []secret.Value,
	mayReplace func(found) error,
) error {
	var failure error
	for try := 0; ; try++ {
		now, err := look(ctx, conn, place, owner)
		if err != nil {
			return errors.Join(failure, err)
		}
		if same(now.stored, want) {
			return nil
		}
		if try == putTries {
			return errors.Join(failure, fmt.Errorf("platform %q accepted the secret at %q, but reading it back shows another one",
				place.Platform, place.Path))
		}
		if err := mayReplace(now); err != nil {
			return err
		}
		want.Version = now.stored.Version
		want.Metadata = merged(now.stored.Metadata, want.Metadata)
		_, failure = conn.PutSecret(ctx, place.Path, want, hide...)
		if unacknowledged(failure) {
			return failure
		}
		if code := driver.CodeOf(failure); failure != nil && code != driver.Conflict && code != driver.Unavailable {
			return failure
		}
	}
}

// merged keeps what others wrote into a store's metadata.
func merged(there, ours map[string]string) map[string]string {
	out := make(map[string]string, len(there)+len(ours))
	maps.Copy(out, there)
	maps.Copy(out, ours)
	return out
}

// owned is the part of a note that does not change.
func (r Rotation) owned(f *fleet.Fleet) note {
	return note{Stack: f.Stack(), Identity: r.Identity, Platform: r.Platform}
}
