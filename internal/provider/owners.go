package provider

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// owners knows the kind and the owner of the identities that this process plans or changes: the evidence of their grants
// and rotations names them, too. What one process has learnt, the resource keeps for the next in private state. That it is
// not always there loses two words of an event.
type owners struct {
	mu    sync.Mutex
	known map[string]audit.Identity
}

func newOwners() *owners { return &owners{known: make(map[string]audit.Identity)} }

func (o *owners) learn(identity audit.Identity) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known[identity.Name] = identity
}

// fill adds what is known of an identity.
func (o *owners) fill(identity audit.Identity) audit.Identity {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.known[identity.Name]; ok && identity.Kind == "" {
		return known
	}
	return identity
}

// ownerKey holds in private state what a grant or a rotation knows of its identity.
const ownerKey = "owner"

// keep writes what is known of an identity into private state.
func (o *owners) keep(ctx context.Context, name string, private privateWriter) diag.Diagnostics {
	identity := o.fill(audit.Identity{Name: name})
	if identity.Kind == "" {
		return nil
	}
	text, err := json.Marshal(identity)
	if err != nil {
		return diag.Diagnostics{diag.NewErrorDiagnostic("Unable to keep the identity's owner", err.Error())}
	}
	return private.SetKey(ctx, ownerKey, text)
}

// recall learns what keep wrote, unless this process knows better.
func (o *owners) recall(ctx context.Context, name string, private privateReader, diags *diag.Diagnostics) {
	text, more := private.GetKey(ctx, ownerKey)
	diags.Append(more...)
	var identity audit.Identity
	if text == nil || json.Unmarshal(text, &identity) != nil || identity.Name != name {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.known[name]; !ok {
		o.known[name] = identity
	}
}
