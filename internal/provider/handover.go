package provider

import (
	"context"
	"sync"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// handovers lets the evidence of a grant or rotation that is deleted go on with its identity. A sink that is down must
// not hold up an offboarding, and it would: Terraform does not go on to the identity while the deletion of a grant
// fails. If the same plan removes the identity (plannedRemovals), the grant's deletion hands over what waits and
// succeeds, and the identity's deletion keeps it in state. Where the configuration names the identity by a text, Terraform
// deletes both at the same time, in any order.
type handovers struct {
	mu     sync.Mutex
	opened map[string][]*audit.Journal // by identity
	ended  map[string]bool             // identities whose deletion takes nothing more
}

func newHandovers() *handovers {
	return &handovers{opened: make(map[string][]*audit.Journal), ended: make(map[string]bool)}
}

// give hands the journal of a deletion over. It reports false if the identity's deletion has ended: nobody would take it.
func (h *handovers) give(identity string, journal *audit.Journal) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended[identity] {
		return false
	}
	h.opened[identity] = append(h.opened[identity], journal)
	return true
}

// take moves what was handed over to an identity that is deleted now into the journal of that.
func (h *handovers) take(ctx context.Context, identity string, to *audit.Journal) error {
	h.mu.Lock()
	journals := h.opened[identity]
	delete(h.opened, identity)
	h.mu.Unlock()
	for _, journal := range journals {
		waiting, err := audit.ParseWaiting(journal.Close(ctx).Waiting)
		if err != nil {
			return err
		}
		to.Adopt(waiting)
	}
	return nil
}

// end is take for the last time.
func (h *handovers) end(ctx context.Context, identity string, to *audit.Journal) error {
	h.mu.Lock()
	h.ended[identity] = true
	h.mu.Unlock()
	return h.take(ctx, identity, to)
}
