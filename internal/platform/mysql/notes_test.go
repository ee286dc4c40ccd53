package mysql

import (
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestKilledRuns leaves behind what a run leaves that is killed between two statements.
func TestKilledRuns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, n := s.client(t), unique("kill-")
	mark := nhi.Mark{Stack: "peculiar", Identity: "bot"}
	// Create, before CREATE USER: a note about nobody.
	if err := c.note(t.Context(), c.db, account{user{who: parseWho(n)}, record{id: "old", mark: "nhi:v1:other:x"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadAccount(t.Context(), nhi.Ref{Name: n}); c.Classify(err).Code != driver.NotFound {
		t.Errorf("a note without an account reads as %v", err)
	}
	ref := create(t, c, n)
	if got, err := c.ReadAccount(t.Context(), ref); err != nil || got.Mark != mark {
		t.Errorf("mark %v, %v", got.Mark, err)
	}
	// Issue, before ALTER USER: a note about no password.
	if _, err := s.admin.ExecContext(t.Context(), "insert into nhi.credentials values (?, '%', 'x', 'lost', 'f', 0)", n); err != nil {
		t.Fatal(err)
	}
	issued := issue(t, c, ref, "lost")
	got, err := c.ReadAccount(t.Context(), ref)
	if err != nil || len(got.Credentials) != 1 || got.Credentials[0].ID != issued.Credential.ID {
		t.Errorf("credentials %+v, %v, want %q alone", got.Credentials, err, issued.Credential.ID)
	}
	// Delete, before the notes are gone.
	s.exec(t, "drop user "+ident(n))
	again := create(t, c, n)
	if again.ID == ref.ID {
		t.Error("the account that was made again has the id of the one before")
	}
	if got, err := c.ReadAccount(t.Context(), again); err != nil || len(got.Credentials) != 0 {
		t.Errorf("it begins with the credentials %+v, %v", got.Credentials, err)
	}
}

// TestLostNotes: without its note nothing tells an account of ours from another one of the name. That is never its absence.
func TestLostNotes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c, n := s.client(t), unique("lost-")
	ref := create(t, c, n)
	lose := "delete from nhi.accounts where User = '" + n + "'"
	mark := nhi.Mark{Stack: "peculiar", Identity: "bot"}
	everything := func(ref nhi.Ref) map[string]error {
		_, read := c.ReadAccount(t.Context(), ref)
		return map[string]error{
			"read": read, "update": c.UpdateAccount(t.Context(), ref, driver.AccountChange{Mark: &mark}),
			"end sessions": c.EndSessions(t.Context(), ref), "delete": c.DeleteAccount(t.Context(), ref),
		}
	}
	s.exec(t, lose)
	for what, err := range everything(ref) {
		if err == nil || c.Classify(err).Code != driver.Unknown || !strings.Contains(err.Error(), "is lost") {
			t.Errorf("%s without the note: %v", what, err)
		}
	}
	if got, err := c.ReadAccount(t.Context(), nhi.Ref{Name: n}); err != nil || !got.Mark.IsZero() || got.ID == ref.ID {
		t.Errorf("by name it reads as %+v, %v", got, err)
	}
	_, err := c.ReadAccount(t.Context(), ref)
	_, repair, _ := strings.Cut(err.Error(), "run ")
	repair, _, _ = strings.Cut(repair, ";")
	s.exec(t, repair)
	if got, err := c.ReadAccount(t.Context(), ref); err != nil || got.ID != ref.ID || !got.Mark.IsZero() {
		t.Errorf("after the repair it reads as %+v, %v", got, err)
	}
	// The account that is deleted here, and made again by somebody, is known to be gone.
	if err := c.DeleteAccount(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "create user "+ident(n))
	t.Cleanup(func() { s.exec(t, "drop user if exists "+ident(n)) })
	for what, err := range everything(ref) {
		wanted := driver.NotFound
		if what == "end sessions" || what == "delete" {
			wanted = driver.Unknown // Success.
		}
		if c.Classify(err).Code != wanted || (err == nil) != (wanted == driver.Unknown) {
			t.Errorf("%s of an account that is gone: %v", what, err)
		}
	}
	got, err := c.ReadAccount(t.Context(), nhi.Ref{Name: n})
	if err != nil || !got.Mark.IsZero() || got.ID != n+"@%" {
		t.Errorf("somebody's account reads as %+v, %v", got, err)
	}
	// A note that is as old as the backup before: it tells of another account that is gone.
	s.exec(t, "replace into nhi.accounts values ('"+n+"', '%', 'older', '"+markDeleted+"')")
	if _, err := c.ReadAccount(t.Context(), ref); err == nil || c.Classify(err).Code != driver.Unknown {
		t.Errorf("with the note of an older deletion: %v", err)
	}
	s.exec(t, lose)
}
