package fleet

import (
	"context"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// Call tells an Intercept which call of a driver it stands before.
type Call struct {
	Platform string
	Op       string // in words: "read account"
	// Change is what the call changes, nil for one that only reads. The driver may fill in what it learns.
	Change *audit.Change
}

// Intercept stands before the driver, for tests: it makes the call by do, or refuses it, or makes it and loses the answer.
// What it returns, and its panic, count as the driver's.
type Intercept func(ctx context.Context, c Call, do func(ctx context.Context) error) error

func (p *Platform) intercepted(c call, next handler) handler {
	intercept := p.config.Intercept
	if intercept == nil {
		return next
	}
	return func(ctx context.Context) error {
		return intercept(ctx, Call{Platform: p.Name(), Op: c.op, Change: c.change}, next)
	}
}
