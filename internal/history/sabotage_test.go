package history

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// judge is a test that is expected to fail: it takes the verdict.
type judge struct {
	rapid.TB
	verdict string
}

type verdict struct{}

func (j *judge) Fatalf(format string, args ...any) {
	j.verdict = fmt.Sprintf(format, args...)
	panic(verdict{})
}

// TestBrokenPromisesAreNoticed lets a provider do what it must not, and expects that a history says so.
func TestBrokenPromisesAreNoticed(t *testing.T) {
	on := func(activity audit.Activity, do func(h *history)) func(h *history) {
		return func(h *history) {
			h.sabotage = func(c fleet.Call) error {
				if c.Change != nil && c.Change.Activity == activity {
					do(h)
				}
				return nil
			}
		}
	}
	account := func(h *history, name string) nhi.Ref {
		h.world.touch()
		a, _ := h.world.snapshot().named("p", name)
		return a.Ref
	}
	ctx := context.Background()
	for _, test := range []struct {
		name, notice string
		do           func(h *history)
	}{
		{"revokes what was not shown", "was revoked from", on(audit.Grant, func(h *history) {
			h.do(h.world.platforms["p"].Revoke(ctx, account(h, "a"), entitlements("role:y")))
		})},
		{"grants what was not shown", "was granted to", on(audit.Grant, func(h *history) {
			h.do(h.world.platforms["p"].Grant(ctx, account(h, "a"), entitlements("role:b")))
		})},
		{"deletes what was not shown", "was deleted, and the plan did not show it", on(audit.Grant, func(h *history) {
			h.do(h.world.platforms["q"].DeleteAccount(ctx, nhi.Ref{Name: "a"}))
		})},
		{"changes a stranger", "was changed, and the plan did not show it", on(audit.Grant, func(h *history) {
			h.do(h.world.platforms["p"].Suspend(ctx, account(h, "foreign")))
		})},
		{"takes an error for absence", "the refresh says it is gone", func(h *history) {
			h.sabotage = func(c fleet.Call) error {
				if strings.HasPrefix(c.Op, "read") || strings.HasPrefix(c.Op, "list") {
					return driver.Errorf(driver.NotFound, "it is not there")
				}
				return nil
			}
		}},
		{"does not grant", "the apply fails without a reason", func(h *history) {
			h.sabotage = func(c fleet.Call) error {
				if c.Change == nil || c.Change.Activity != audit.Grant {
					return nil
				}
				return errUndone
			}
		}},
		{"forgets the evidence", "is reported 1 times", func(h *history) { h.events.deaf = true }},
		{"shows a secret", "there is a secret in", func(h *history) { h.wish.identities["a"].owner = secretPrefix }},
		{"never comes to rest", "there is still something to do", func(h *history) {
			h.sabotage = func(c fleet.Call) error {
				if c.Op == "probe" {
					h.do(h.world.platforms["r"].RemoveSecret(ctx, secretPath("a")))
				}
				return nil
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := rotated()
			a.main = &grant{entitlements: map[string][]string{"p": {"role:x"}}}
			h := begin(t, a)
			h.do(h.world.platforms["p"].Grant(ctx, account(h, "a"), entitlements("role:y")))
			a.main.entitlements["p"] = []string{"role:x", "role:a"}
			test.do(h)
			j := &judge{TB: t}
			func() {
				defer func() {
					if r := recover(); r != nil && r != (verdict{}) {
						panic(r)
					}
				}()
				h.rest(j, nil)
			}()
			if !strings.Contains(j.verdict, test.notice) {
				t.Errorf("the verdict is %q, want %q", j.verdict, test.notice)
			}
		})
	}
}
