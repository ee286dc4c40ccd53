package postgresql

import (
	"fmt"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// BenchmarkApply does for each account what an apply does, one after another: it is looked for, made and read back; then it is
// read, granted six rights, and read back. One of the rights is on a schema, after which the server plans every query again.
func BenchmarkApply(b *testing.B) {
	s := &server{bed: testenv.Load(b).PostgreSQL}
	cfg := s.config()
	cfg.MaxConnections = 1
	d, err := Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	c, ok := d.(*client)
	if !ok {
		b.Fatalf("Open returns %T", d)
	}
	ctx := b.Context()
	execute := func(statements string) {
		if _, err := c.pool.Exec(ctx, statements); err != nil {
			b.Fatal(err)
		}
	}
	const fresh = "drop schema if exists bench_apply cascade; drop role if exists bench_apply_audit, bench_apply_reporting; "
	execute(fresh + "create schema bench_apply; create table bench_apply.invoices (n int); create table bench_apply.ledger (n int); " +
		"create sequence bench_apply.numbers; create role bench_apply_audit; create role bench_apply_reporting")
	rights := []nhi.Entitlement{
		{Type: "role", Target: "bench_apply_audit"}, {Type: "role", Target: "bench_apply_reporting"},
		{Type: "table", Target: "bench_apply.invoices", Permission: "select"},
		{Type: "table", Target: "bench_apply.ledger", Permission: "insert"},
		{Type: "schema", Target: "bench_apply", Permission: "usage"},
		{Type: "sequence", Target: "bench_apply.numbers", Permission: "usage"},
	}
	spent := map[string]time.Duration{}
	timed := func(what string, call func() error) {
		start := time.Now()
		if err := call(); err != nil {
			b.Fatal(what, err)
		}
		spent[what] += time.Since(start)
	}
	refs := make([]nhi.Ref, b.N)
	read := func(ref nhi.Ref) error { _, err := c.ReadAccount(ctx, ref); return err }
	b.ResetTimer()
	for i := range refs {
		name := fmt.Sprintf("bench-apply-%d", i)
		timed("absent", func() error {
			if err := read(nhi.Ref{Name: name}); driver.CodeOf(err) != driver.NotFound {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
		timed("create", func() (err error) {
			refs[i], err = c.CreateAccount(ctx, driver.AccountSpec{Name: name, Mark: nhi.Mark{Stack: "bench", Identity: name}})
			return err
		})
		timed("read", func() error { return read(refs[i]) })
	}
	for _, ref := range refs {
		timed("before", func() error { return read(nhi.Ref{Name: ref.Name}) })
		timed("grant", func() error { return c.Grant(ctx, ref, rights) })
		timed("after", func() error { return read(ref) })
	}
	b.StopTimer()
	for what, all := range spent {
		b.ReportMetric(float64(all.Microseconds())/float64(b.N)/1000, what+"-ms/op")
	}
	for _, ref := range refs {
		execute("drop owned by " + ident(ref.Name) + "; drop role " + ident(ref.Name))
	}
	execute(fresh)
}
