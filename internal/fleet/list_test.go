package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// lister is bare with a list of names, two on a page.
type lister struct{ bare }

func (d lister) ListAccounts(ctx context.Context, page func([]nhi.Ref) error) error {
	var refs []nhi.Ref
	d.mu.Lock()
	for _, a := range d.accounts {
		refs = append(refs, nhi.Ref{Name: a.Name})
	}
	d.mu.Unlock()
	slices.SortFunc(refs, func(a, b nhi.Ref) int { return strings.Compare(a.Name, b.Name) })
	for chunk := range slices.Chunk(refs, 2) {
		if err := page(chunk); err != nil {
			return err
		}
	}
	return d.step(ctx, "list")
}

// all returns the ids that All shows until n have come; 0 for all.
func all(t *testing.T, c *Conn, n int) ([]string, error) {
	t.Helper()
	var ids []string
	err := c.All(t.Context(), func(page []nhi.Account) bool {
		for _, a := range page {
			ids = append(ids, a.ID)
		}
		return n == 0 || len(ids) < n
	})
	slices.Sort(ids)
	return ids, err
}

func TestAll(t *testing.T) {
	sweeping, listing := newScript(accounts(5)...), newScript(accounts(40)...)
	p, _ := newTestPlatform(able{bare{sweeping}}, nil)
	if ids, err := all(t, connect(t, p), 0); err != nil || cmp.Diff([]string{"0", "1", "2", "3", "4"}, ids) != "" {
		t.Errorf("by a sweep: %v, %v", ids, err)
	}
	wantCalls(t, sweeping, 0, 1)
	if ids, err := all(t, connect(t, p), 3); err != nil || len(ids) != 4 {
		t.Errorf("the sweep does not stop after its second page: %v, %v", ids, err)
	}

	p, _ = newTestPlatform(lister{bare{listing}}, nil)
	if ids, err := all(t, connect(t, p), 0); err != nil || len(slices.Compact(ids)) != 40 {
		t.Errorf("one by one: %v, %v", ids, err)
	}
	wantCalls(t, listing, 40, 0)
	if ids, err := all(t, connect(t, p), 3); err != nil || len(ids) != readAtOnce {
		t.Errorf("reading goes on after enough: %v, %v", ids, err)
	}
	wantCalls(t, listing, 40+readAtOnce, 0)

	p, _ = newTestPlatform(bare{newScript()}, nil)
	_, err := all(t, connect(t, p), 0)
	wantCode(t, err, driver.Unsupported)
}

// What was deleted meanwhile is left out; every other failure is one of the whole.
func TestAllOneByOneFails(t *testing.T) {
	s := newScript(accounts(3)...)
	failure := driver.Errorf(driver.NotFound, "deleted meanwhile")
	s.on = func(_ context.Context, op string, call int) error {
		if op == "read" && call == 2 {
			return failure
		}
		return nil
	}
	s.classify = func(err error) driver.Verdict {
		verdict, _ := driver.Known(err)
		return verdict
	}
	p, _ := newTestPlatform(lister{bare{s}}, nil)
	if ids, err := all(t, connect(t, p), 0); err != nil || len(ids) != 2 {
		t.Errorf("an account that is gone: %v, %v", ids, err)
	}
	failure, s.calls = errors.New("refused"), map[string]int{}
	if ids, err := all(t, connect(t, p), 0); err == nil || len(ids) > 0 {
		t.Errorf("an account that cannot be read: %v, %v", ids, err)
	}
}

// A platform that only lists is searched whole for a mark, and once in a run.
func TestMarkedOneByOne(t *testing.T) {
	s := newScript(accounts(5)...)
	p, _ := newTestPlatform(lister{bare{s}}, nil)
	conn := connect(t, p)
	for _, id := range []string{"1", "2"} {
		mark := nhi.Mark{Stack: "stack", Identity: "i" + id}
		found, err := conn.Marked(t.Context(), mark)
		one, findErr := conn.FindMarked(t.Context(), mark)
		if err != nil || findErr != nil || len(found) != 1 || found[0].ID != id || one.ID != id {
			t.Errorf("%s: %v, %v; %v, %v", id, found, err, one, findErr)
		}
	}
	found, err := conn.Marked(t.Context(), nhi.Mark{Stack: "stack", Identity: "nobody"})
	if err != nil || len(found) > 0 {
		t.Errorf("nobody: %v, %v", found, err)
	}
	wantCalls(t, s, 5, 0)
}

func TestAllMarked(t *testing.T) {
	mark := nhi.Mark{Stack: "stack", Identity: "i1"}
	for name, d := range map[string]driver.Driver{"sweeper": able{bare{newScript(accounts(3)...)}}, "lister": lister{bare{newScript(accounts(3)...)}}} {
		p, _ := newTestPlatform(d, nil)
		found, complete, err := connect(t, p).AllMarked(t.Context(), mark)
		if err != nil || !complete || len(found) != 1 || found[0].ID != "1" {
			t.Errorf("%s: %+v, %v, %v", name, found, complete, err)
		}
	}
	p, _ := newTestPlatform(bare{newScript(accounts(3)...)}, nil)
	if found, complete, err := connect(t, p).AllMarked(t.Context(), mark); err != nil || complete || len(found) > 0 {
		t.Errorf("neither: %+v, %v, %v", found, complete, err)
	}
}
