package history

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/sandbox"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// hands is everything that somebody can do on a sandbox by hand.
type hands interface {
	driver.Driver
	driver.Suspender
	driver.Sweeper
	driver.Issuer
	driver.Verifier
	driver.SecretStore
}

// world is the platforms.
type world struct {
	dir       string
	platforms map[string]hands
	// strangers are the accounts of nobody and of another stack, which nobody ever touches.
	strangers snapshot
	// last is the last snapshot, nil if something may have changed since.
	last *snapshot
}

// touch says that something may change.
func (w *world) touch() { w.last = nil }

// newDir makes a directory for platforms, in memory where there is such a place: no test outlives a power failure.
func newDir(t *testing.T) string {
	t.Helper()
	parent := t.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "nhi-history-") //nolint:usetesting // what matters is where
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newWorld makes the platforms in a directory, each with two accounts that are none of our business.
func newWorld(dir string) (*world, error) {
	w := &world{dir: dir, platforms: map[string]hands{}}
	for _, name := range platformNames() {
		opened, err := sandbox.Open(sandbox.Config{Path: w.path(name)})
		if err != nil {
			return nil, err
		}
		d, ok := opened.(hands)
		if !ok {
			return nil, fmt.Errorf("%T lacks a capability", opened)
		}
		w.platforms[name] = d
		for _, spec := range []driver.AccountSpec{
			{Name: "bystander"}, {Name: "foreign", Mark: nhi.Mark{Stack: "other", Identity: "a"}},
		} {
			ref, err := d.CreateAccount(context.Background(), spec)
			if err != nil {
				return nil, err
			}
			if err := d.Grant(context.Background(), ref, entitlements("role:a", "role:z")); err != nil {
				return nil, err
			}
		}
	}
	w.strangers = w.snapshot()
	return w, nil
}

func (w *world) path(platform string) string { return filepath.Join(w.dir, platform+".db") }

func (w *world) close() {
	for _, d := range w.platforms {
		_ = d.Close()
	}
	for _, name := range append(platformNames(), "elsewhere") {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			_ = os.Remove(w.path(name) + suffix)
		}
	}
}

func entitlements(texts ...string) []nhi.Entitlement {
	out := make([]nhi.Entitlement, 0, len(texts))
	for _, text := range texts {
		e, err := sandbox.Spec().Grammar.Parse(text)
		if err != nil {
			panic(err)
		}
		out = append(out, e)
	}
	return nhi.SortEntitlements(out)
}

// snapshot is what the platforms hold (it is shared and never changed): accounts by platform and id, secrets by platform and path.
type snapshot struct {
	accounts map[string]map[string]nhi.Account
	secrets  map[string]map[string]driver.StoredSecret
}

func (w *world) snapshot() snapshot {
	if w.last != nil {
		return *w.last
	}
	s := snapshot{accounts: map[string]map[string]nhi.Account{}, secrets: map[string]map[string]driver.StoredSecret{}}
	for name, d := range w.platforms {
		s.accounts[name], s.secrets[name] = map[string]nhi.Account{}, map[string]driver.StoredSecret{}
		err := d.Sweep(context.Background(), driver.SweepFilter{}, func(page []nhi.Account) error {
			for _, a := range page {
				for i := range a.Credentials {
					a.Credentials[i].LastUsedAt = time.Time{} // a login changes nothing
				}
				s.accounts[name][a.ID] = a
			}
			return nil
		})
		if err != nil {
			panic(err)
		}
		for _, identity := range identityNames() {
			stored, err := d.GetSecret(context.Background(), secretPath(identity))
			if err == nil {
				s.secrets[name][secretPath(identity)] = stored
			} else if driver.CodeOf(err) != driver.NotFound {
				panic(err)
			}
		}
	}
	w.last = &s
	return s
}

// named returns the account of a name.
func (s snapshot) named(platform, name string) (nhi.Account, bool) {
	for _, a := range s.accounts[platform] {
		if a.Name == name {
			return a, true
		}
	}
	return nhi.Account{}, false
}

// sorted lists the accounts of a platform by name.
func (s snapshot) sorted(platform string) []nhi.Account {
	return slices.SortedFunc(maps.Values(s.accounts[platform]), func(a, b nhi.Account) int { return strings.Compare(a.Name, b.Name) })
}

// stranger reports whether an account is one that newWorld made.
func stranger(a nhi.Account) bool { return a.Name == "bystander" || a.Name == "foreign" }

// byHand changes something on a platform. known says which accounts state records, by their id: the mark of others is
// not removed, because then nobody could tell whose they are.
func (h *history) byHand(t *rapid.T) {
	platform := rapid.SampledFrom(platformNames()).Draw(t, "platform")
	d, now := h.world.platforms[platform], h.world.snapshot()
	accounts := slices.DeleteFunc(now.sorted(platform), stranger)
	if len(accounts) == 0 || someOf(t, 8, "a new account") {
		h.squat(t, platform, now)
		return
	}
	a := rapid.SampledFrom(accounts).Draw(t, "account")
	ctx, ref := context.Background(), a.Ref
	switch rapid.SampledFrom([]string{
		"grant", "grant", "revoke", "suspend", "resume", "delete", "describe", "unmark", "issue", "revoke credential", "lose secret", "spoil secret",
	}).Draw(t, "by hand") {
	case "grant":
		h.do(d.Grant(ctx, ref, entitlements(rapid.SampledFrom([]string{"role:z", "role:a", "role:y"}).Draw(t, "entitlement"))))
	case "revoke":
		h.do(d.Revoke(ctx, ref, a.Entitlements[:min(1, len(a.Entitlements))]))
	case "suspend":
		h.do(d.Suspend(ctx, ref))
	case "resume":
		h.do(d.Resume(ctx, ref))
	case "delete":
		h.do(d.DeleteAccount(ctx, ref))
	case "describe":
		h.do(d.UpdateAccount(ctx, ref, driver.AccountChange{Settings: map[string]string{"description": "by hand"}}))
	case "unmark":
		if h.recorded(platform, a.ID) {
			h.do(d.UpdateAccount(ctx, ref, driver.AccountChange{Mark: &nhi.Mark{}}))
		}
	case "issue":
		if len(a.Credentials) < 2 {
			_, err := d.Issue(ctx, ref, driver.IssueRequest{Label: fmt.Sprintf("by-hand-%d", h.number())})
			h.do(err)
		}
	case "revoke credential":
		for _, c := range a.Credentials[:min(1, len(a.Credentials))] {
			h.do(d.RevokeCredential(ctx, ref, c.ID))
		}
	case "lose secret":
		h.do(d.RemoveSecret(ctx, secretPath(identityNames()[0])))
	case "spoil secret":
		if stored, there := now.secrets[platform][secretPath("a")]; there {
			stored.Fields = maps.Clone(stored.Fields)
			stored.Fields["secret"] = secret.New("spoilt")
			_, err := d.PutSecret(ctx, secretPath("a"), stored)
			h.do(err)
		}
	}
}

// squat makes an account without a mark whose name an identity may want.
func (h *history) squat(t *rapid.T, platform string, now snapshot) {
	name := rapid.SampledFrom([]string{"a", "a-svc", "b", "b-svc"}).Draw(t, "name")
	if _, taken := now.named(platform, name); taken {
		return
	}
	d := h.world.platforms[platform]
	ref, err := d.CreateAccount(context.Background(), driver.AccountSpec{Name: name})
	h.do(err)
	h.do(d.Grant(context.Background(), ref, entitlements("role:b", "role:y")))
}

// do is for what is done by hand, and cannot fail.
func (h *history) do(err error) {
	h.world.touch()
	if err != nil {
		panic(err)
	}
}
