package lifecycle_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// discovered words what was found: name, manager, and accounts by platform.
func discovered(d lifecycle.Discovered) string {
	var places []string
	for _, platform := range slices.Sorted(maps.Keys(d.Accounts)) {
		places = append(places, platform+"="+d.Records[platform].Name)
	}
	return fmt.Sprintf("%s (%s): %s", d.Name, d.ManagedBy, strings.Join(places, " "))
}

func find(t *testing.T, w *world, s lifecycle.Search) ([]string, lifecycle.Problems) {
	t.Helper()
	var found []string
	before := w.snapshot()
	problems := lifecycle.Discover(t.Context(), w.fleet(), s, func(d lifecycle.Discovered) bool {
		found = append(found, discovered(d))
		return true
	})
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("discovering changed something (-before +after):\n%s", diff)
	}
	slices.Sort(found)
	return found, problems
}

func TestDiscover(t *testing.T) {
	account := func(name string) nhi.Account { return nhi.Account{Ref: nhi.Ref{Name: name}} }
	suspended := func(name string) nhi.Account { return nhi.Account{Ref: nhi.Ref{Name: name}, Status: nhi.Suspended} }
	both, yes, no := []string{"a", "b"}, true, false
	hash := func(found []string) []string { // hashes are the same every time, and need not be written here
		for i, text := range found {
			name, rest, _ := strings.Cut(text, " (")
			if at := strings.LastIndex(name, "-"); at > 0 && len(name)-at == 9 {
				found[i] = name[:at] + "-# (" + rest
			}
		}
		return found
	}
	for _, test := range []struct {
		name    string
		prepare func(w *world)
		search  lifecycle.Search
		want    []string
	}{
		{"everything", func(*world) {}, lifecycle.Search{Platforms: both}, []string{
			"billing (another_stack): a=foreign b=foreign", "bystander (nobody): a=bystander b=bystander",
		}},
		{"joined by mark", func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "T_1"}, Mark: ours})
			w.b.put(nhi.Account{Ref: nhi.Ref{Name: "T_2"}, Mark: ours})
		}, lifecycle.Search{Platforms: both, ManagedBy: lifecycle.ThisStack}, []string{"billing (this_stack): a=T_1 b=T_2"}},
		{"joined by a mapping", func(w *world) {
			w.a.put(account("svc_billing"))
			w.b.put(account("T_BILLING"))
			w.b.put(account("svc_billing"))
		}, lifecycle.Search{Platforms: both, Name: "*BILLING", Accounts: map[string]map[string]string{"pay": {"a": "svc_billing", "b": "T_BILLING"}}},
			[]string{"pay (nobody): a=svc_billing b=T_BILLING"}},
		{"another status", func(w *world) {
			w.a.put(account("svc"))
			w.b.put(suspended("svc"))
		}, lifecycle.Search{Platforms: both, Name: "s?c"}, []string{"svc (nobody): a=svc", "svc-# (nobody): b=svc"}},
		{"suspended", func(w *world) { w.b.put(suspended("svc")) }, lifecycle.Search{Platforms: both, Suspended: &yes}, []string{"svc (nobody): b=svc"}},
		{"active, of one platform", func(w *world) { w.b.put(suspended("svc")) }, lifecycle.Search{Platforms: []string{"b"}, Suspended: &no, ManagedBy: lifecycle.Nobody},
			[]string{"bystander (nobody): b=bystander"}},
		{"a name that an identity of ours has", func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "T_1"}, Mark: ours})
			w.b.put(account("billing"))
		}, lifecycle.Search{Platforms: both, Name: "billing"}, []string{"billing-# (nobody): b=billing"}},
		{"two with one mark", func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "T_1"}, Mark: ours})
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "T_2"}, Mark: ours})
		}, lifecycle.Search{Platforms: both, ManagedBy: lifecycle.ThisStack}, []string{"billing (this_stack): a=T_1", "billing (this_stack): a=T_2"}},
		{"old credentials", func(w *world) {
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "old"}, Credentials: []nhi.Credential{{ID: "1", CreatedAt: someday}, {ID: "2", CreatedAt: someday.AddDate(1, 0, 0)}}})
			w.a.put(nhi.Account{Ref: nhi.Ref{Name: "new"}, Credentials: []nhi.Credential{{ID: "1", CreatedAt: someday.AddDate(1, 0, 0)}}})
		}, lifecycle.Search{Platforms: both, CredentialBefore: someday.AddDate(0, 6, 0)}, []string{"old (nobody): a=old"}},
		{"a platform that does not tell of use", func(*world) {}, lifecycle.Search{Platforms: both, UnusedSince: someday}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			test.prepare(w)
			found, problems := find(t, w, test.search)
			must(t, problems)
			if diff := cmp.Diff(test.want, hash(found)); diff != "" {
				t.Errorf("found (-want +got):\n%s", diff)
			}
		})
	}
}

// Every account gets a name that an identity can have, and no two the same.
func TestDiscoverNames(t *testing.T) {
	w := newWorld()
	names := []string{"bot@example.com", "bot-example.com", "bot example.com", "Ünïcode", "日本", "---", strings.Repeat("x", 80), "ok", "a:b,c=d"}
	for _, name := range names {
		w.a.put(nhi.Account{Ref: nhi.Ref{Name: name}})
	}
	for _, platforms := range [][]string{{"a"}, {"a", "b"}} {
		identities := make(map[string]string)
		must(t, lifecycle.Discover(t.Context(), w.fleet(), lifecycle.Search{Platforms: platforms, ManagedBy: lifecycle.Nobody}, func(d lifecycle.Discovered) bool {
			if err := nhi.CheckIdentityName(d.Name); err != nil {
				t.Errorf("%q: %v", d.Accounts["a"].Name, err)
			}
			if other, twice := identities[d.Name]; twice {
				t.Errorf("%q and %q are both named %q", other, d.Accounts["a"].Name, d.Name)
			}
			identities[d.Name] = d.Accounts["a"].Name
			return true
		}))
		if len(identities) != len(names)+1 || identities["ok"] != "ok" || identities["bystander"] != "bystander" {
			t.Errorf("names %v", identities)
		}
	}
}

func TestDiscoverStops(t *testing.T) {
	w := newWorld()
	for _, platforms := range [][]string{{"a"}, {"a", "b"}} {
		calls := 0
		must(t, lifecycle.Discover(t.Context(), w.fleet(), lifecycle.Search{Platforms: platforms}, func(lifecycle.Discovered) bool {
			calls++
			return false
		}))
		if calls != 1 {
			t.Errorf("%v: found was called %d times", platforms, calls)
		}
	}
}

// Not seen is not absent: if one of several platforms cannot be read, nothing is reported.
func TestDiscoverWithAPlatformDown(t *testing.T) {
	w := newWorld()
	w.b.refuse = func(op string) error {
		if op == "sweep" {
			return errRefused
		}
		return nil
	}
	found, problems := find(t, w, lifecycle.Search{Platforms: []string{"a", "b"}})
	if len(found) > 0 || !slices.Equal(problems.Platforms(), []string{"b"}) {
		t.Errorf("found %v, problems %v", found, problems)
	}
	found, problems = find(t, w, lifecycle.Search{})
	if len(found) > 0 || !slices.Equal(problems.Platforms(), []string{"b", "c"}) || !strings.Contains(problems.Error(), "cannot list its accounts") {
		t.Errorf("found %v, problems %v", found, problems)
	}
}
