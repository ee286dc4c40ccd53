package provider

import (
	"context"
	"encoding/json"
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// forced reports whether what rotate_when_changed watches has changed since the last rotation.
func forced(plan, state rotationModel) bool {
	return !plan.RotateWhenChanged.Equal(state.RotateWhenChanged) && len(plan.RotateWhenChanged.Elements()) > 0
}

// owedKey marks in private state a rotation that rotate_when_changed has asked for and that is still to come: the account was
// suspended, or an older rotation had to be finished first.
const owedKey = "owed"

func isOwed(ctx context.Context, private privateReader, diags *diag.Diagnostics) bool {
	mark, more := private.GetKey(ctx, owedKey)
	diags.Append(more...)
	return mark != nil
}

func setOwed(ctx context.Context, private privateWriter, owed bool) diag.Diagnostics {
	if !owed {
		return private.SetKey(ctx, owedKey, nil)
	}
	return private.SetKey(ctx, owedKey, []byte("true"))
}

// begunKey keeps in private state which credential a rotation that rotate_when_changed has asked for had issued when it failed. To
// finish another one is not what was asked for: whoever shall not know the secret may have read that.
const begunKey = "begun"

type begunRotation struct {
	Label   string            `json:"label"`
	Changed map[string]string `json:"rotate_when_changed"`
}

// begun is the label of the credential that was issued for these values of rotate_when_changed, "" if none was.
func begun(ctx context.Context, private privateReader, values types.Map, diags *diag.Diagnostics) string {
	text, more := private.GetKey(ctx, begunKey)
	diags.Append(more...)
	var b begunRotation
	if text == nil || json.Unmarshal(text, &b) != nil || !maps.Equal(b.Changed, mapOfStrings(values)) {
		return "" // one rotation more
	}
	return b.Label
}

func setBegun(ctx context.Context, private privateWriter, label string, values types.Map) diag.Diagnostics {
	if label == "" {
		return private.SetKey(ctx, begunKey, nil)
	}
	text, err := json.Marshal(begunRotation{label, mapOfStrings(values)})
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Unable to keep what the rotation has begun", err.Error())}
	}
	return private.SetKey(ctx, begunKey, text)
}
