package postgresql

import (
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// A text means the same to a server whose old applications need backslashes to escape: no name of an account or of an
// identity ends its quotes.
func TestBackslashesQuoteNothing(t *testing.T) {
	t.Setenv("PGOPTIONS", "-c standard_conforming_strings=off -c backslash_quote=on")
	s := newServer(t)
	victim, _ := s.plainRole(t, "nologin")
	d := open(t, s.config())
	var how string
	if err := s.admin.QueryRow(t.Context(), "show standard_conforming_strings").Scan(&how); err != nil || how != "off" {
		t.Fatalf("standard_conforming_strings is %q: %v", how, err)
	}
	for _, name := range []string{`corp\svc-` + victim, `x\'; alter role ` + victim + ` login; --`} {
		ref, err := d.CreateAccount(t.Context(), driver.AccountSpec{Name: name, Mark: nhi.Mark{Stack: "payments", Identity: "billing"}})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		t.Cleanup(func() { s.exec(t, "drop role "+ident(name)) })
		account, err := d.ReadAccount(t.Context(), ref)
		if err != nil || account.Name != name || account.Mark.Identity != "billing" {
			t.Errorf("%q reads as %+v, %v", name, account, err)
		}
	}
	if account, err := d.ReadAccount(t.Context(), nhi.Ref{Name: victim}); err != nil || account.Status != nhi.Suspended {
		t.Errorf("the role that a name speaks of: %+v, %v", account, err)
	}
}
