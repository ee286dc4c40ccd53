package provider

import (
	"context"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// handovers lets the evidence of a grant or rotation that is deleted go on with its identity. A sink that is down must
// not hold up an offboarding, and it would: Terraform does not go on to the identity while the deletion of a grant
// fails. If the same plan removes the identity (plannedRemovals), the grant's deletion hands over what waits and
// succeeds, and the identity's deletion keeps it in state.
type handovers struct {
	mu     sync.Mutex
	opened map[string][]*audit.Journal // by identity
}

func newHandovers() *handovers { return &handovers{opened: make(map[string][]*audit.Journal)} }

// give hands the journal of a deletion over.
func (h *handovers) give(identity string, journal *audit.Journal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opened[identity] = append(h.opened[identity], journal)
}

// take returns what was handed over to an identity that is deleted now.
func (h *handovers) take(ctx context.Context, identity string) ([]audit.Waiting, error) {
	h.mu.Lock()
	journals := h.opened[identity]
	delete(h.opened, identity)
	h.mu.Unlock()
	var out []audit.Waiting
	for _, journal := range journals {
		waiting, err := audit.ParseWaiting(journal.Close(ctx).Waiting)
		if err != nil {
			return nil, err
		}
		out = append(out, waiting...)
	}
	return out, nil
}
