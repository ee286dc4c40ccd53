package provider

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/nhi-labs/terraform-provider-nhi/internal/acctest/core"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
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

// TestEmergencyOnNoPlatform: no set is every platform, and an empty one, as a condition may leave it, is none.
func TestEmergencyOnNoPlatform(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sandbox.db")
	w := newWalks(t, core.Body{"sandbox": []core.Body{{"name": "crm", "path": path}}})
	w.agent(core.Body{"account": []core.Body{{"platform": "crm"}}})
	w.settled()
	hand, err := sandbox.Open(sandbox.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hand.Close() })
	text := func(v any) tftypes.Value { return tftypes.NewValue(tftypes.String, v) }
	set := tftypes.Set{ElementType: tftypes.String}
	for _, test := range []struct {
		action    string
		platforms tftypes.Value
		says      string
		want      nhi.Status
	}{
		{"nhi_suspend", tftypes.NewValue(set, []tftypes.Value{}), "leave platforms out", nhi.Active},
		{"nhi_suspend", tftypes.NewValue(set, []tftypes.Value{text(nil)}), "leave platforms out", nhi.Active},
		{"nhi_suspend", tftypes.NewValue(set, nil), "", nhi.Suspended},
		{"nhi_resume", tftypes.NewValue(set, []tftypes.Value{}), "leave platforms out", nhi.Suspended},
		{"nhi_resume", tftypes.NewValue(set, []tftypes.Value{text("crm"), text(nil)}), "leave platforms out", nhi.Suspended},
		{"nhi_resume", tftypes.NewValue(set, []tftypes.Value{text("crm")}), "", nhi.Active},
	} {
		errs := w.invoke(test.action, map[string]tftypes.Value{"identity": text("agent"), "platforms": test.platforms})
		if (len(errs) > 0) != (test.says != "") || !strings.Contains(strings.Join(errs, "\n"), test.says) {
			t.Errorf("%s on %v: errors %q", test.action, test.platforms, errs)
		}
		if a, err := hand.ReadAccount(t.Context(), nhi.Ref{Name: "agent"}); err != nil || a.Status != test.want {
			t.Errorf("%s on %v: the account is %s, error %v", test.action, test.platforms, a.Status, err)
		}
	}
}
