package provider

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

// Invoking again is advised only where it helps.
func TestReportEmergency(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err   error
		again bool
	}{
		{errors.New("connection refused"), true},
		{driver.Errorf(driver.Unsupported, "cannot suspend"), false},
	} {
		var diags diag.Diagnostics
		problems := lifecycle.Problems{{Platform: "crm", Err: test.err}}
		reportEmergency("suspend", lifecycle.Emergency{Identity: "billing"}, 1, problems, &diags)
		if len(diags) != 1 || !diags.HasError() {
			t.Fatalf("%v: %v", test.err, diags)
		}
		says := diags[0].Detail()
		if strings.Contains(says, "Invoke the action again") != test.again || !strings.Contains(says, test.err.Error()) {
			t.Errorf("%v: %s", test.err, says)
		}
	}
}
