package provider

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
)

// private is private state in memory.
type private map[string][]byte

func (p private) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) { return p[key], nil }

func (p private) SetKey(_ context.Context, key string, value []byte) diag.Diagnostics {
	p[key] = value
	return nil
}

func TestPlannedRemovals(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	planning := func() *plannedRemovals {
		p := newPlannedRemovals()
		p.dir = dir
		return p
	}
	want := plannedRemoval{Identity: "agent", Accounts: map[string]lifecycle.Record{"warehouse": {Name: "svc", ID: "7", Target: "t"}}}
	plan := planning()
	grant, identity := private{}, private{}
	if diags := plan.noteDependent(ctx, grant); diags.HasError() {
		t.Fatal(diags)
	}
	if diags := plan.noteDependent(ctx, identity); diags.HasError() {
		t.Fatal(diags)
	}
	applying := planning() // Another process.
	if found, ok := applying.find(ctx, grant, "agent"); ok {
		t.Errorf("found before it was noted: %+v", found)
	}
	if err := plan.write(want); err != nil {
		t.Fatal(err)
	}
	if name := filepath.Base(plan.folder(plan.plan)); strings.Contains(name, plan.plan) {
		t.Errorf("the folder %s tells the id, with which everybody could write one that counts", name)
	}
	forge(t, plan.file(plan.plan, "agent"), func(text string) string { return strings.Replace(text, "svc", "vip", 1) })
	if found, ok := applying.find(ctx, grant, "agent"); ok {
		t.Errorf("a changed file counts: %+v", found)
	}
	forge(t, plan.file(plan.plan, "agent"), func(text string) string { return text[strings.Index(text, "{"):] })
	if found, ok := applying.find(ctx, grant, "agent"); ok {
		t.Errorf("a file that nobody sealed counts: %+v", found)
	}
	if err := plan.write(want); err != nil {
		t.Fatal(err)
	}
	found, ok := applying.find(ctx, grant, "agent")
	if !ok || cmp.Diff(want, found) != "" {
		t.Errorf("found %v %+v, want %+v", ok, found, want)
	}
	if _, ok := applying.find(ctx, grant, "agent-2"); ok {
		t.Error("an identity that stays was found")
	}
	if _, ok := applying.find(ctx, private{}, "agent"); ok {
		t.Error("found without a plan")
	}
	other := private{}
	planning().noteDependent(ctx, other)
	if _, ok := applying.find(ctx, other, "agent"); ok {
		t.Error("found by another plan")
	}
	applying.failed(ctx, grant)
	if _, ok := applying.find(ctx, grant, "agent"); ok {
		t.Error("found although the deletion failed before")
	}
	applying.done(ctx, identity, "agent")
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// forge changes a file as another user of the machine would.
func forge(t *testing.T, name string, change func(string) string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(change(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What stands in private state is no path.
func TestPlannedRemovalsOutside(t *testing.T) {
	t.Parallel()
	p := newPlannedRemovals()
	p.dir = t.TempDir()
	for _, id := range []string{`"../../etc"`, `""`, `"` + p.plan + `/.."`, `{}`, `garbage`} {
		if err := os.MkdirAll(filepath.Join(p.dir, "etc"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, ok := p.find(t.Context(), private{removalKey: []byte(id)}, "agent"); ok {
			t.Errorf("%s was followed", id)
		}
		p.done(t.Context(), private{removalKey: []byte(id)}, "agent")
	}
	if _, err := os.Stat(filepath.Join(p.dir, "etc")); err != nil {
		t.Error(err)
	}
}
