package lifecycle_test

import (
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// TestCreateLosesARaceAgainstItsLikes: another run of the same stack makes the account between our look and our
// creation. It is not ours to take back.
func TestCreateLosesARaceAgainstItsLikes(t *testing.T) {
	w := newWorld()
	w.a.refuse = func(op string) error {
		if op == "create" {
			w.a.accounts["a-9"] = nhi.Account{Ref: nhi.Ref{Name: "billing", ID: "a-9"}, Mark: ours, Status: nhi.Active}
		}
		return nil
	}
	id := identity(map[string]lifecycle.Account{"a": {Name: "billing"}})
	records, problems := lifecycle.CreateIdentity(t.Context(), w.fleet(), id)
	t.Logf("records %v problems %v", records, problems)
	if len(w.own()["a"]) != 1 {
		t.Errorf("the other run's account was deleted: %v", w.own())
	}
}
