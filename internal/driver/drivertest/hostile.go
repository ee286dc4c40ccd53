package drivertest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// hostileCases are about names that mean something to a parser on the way.
var hostileCases = []testCase{
	{name: "hostile/account_names", run: hostileAccountNames},
	{name: "hostile/refused_names", run: hostileRefusedNames},
	{name: "hostile/targets", run: hostileTargets},
}

// hostileTexts are the texts that break quoting, filters, paths and lengths. They stand behind a name of the suite.
func hostileTexts() []string {
	return []string{
		`'`, `"`, `''`, `""`, "`", `\`, `\'`, `\"`, `;`, `#`, `#select`, `:`, `a b`, `a  b`, `,`, `=`, `+`, `&`, `?x=1`,
		`%`, `_`,
		`'; DROP TABLE users; --`, `"; DROP ROLE postgres; --`, `' OR '1'='1`, `$1`, `$$`, `$tag$`, `{{.}}`, `${x}`,
		`" or userName pr or userName eq "`, `" and active eq true`, `*)(uid=*`, `)(|(cn=*`, `\2a`, `,dc=example,dc=com`,
		`*`, `/`, `/..`, `/../`, `..%2f`, `%2e%2e%2f`, `%00`, `%25`, `%2F`, `//`, `/x?list=true`,
		`<b>&amp;</b>`, `@example.com`, `+tag@x`,
		`é`, "e\u0301", `ß`, `ı`, `İ`, `密码`, `пользователь`, `مستخدم`,
		"\u202egnp", "\u200b", "\u200d", "\ufeff", `🔑`, `ABC`,
		`[nhi:v1:other:x]`,
		" x", "\u00a0x", "-", "--", ".", "|", "!", "~", "^", "<", ">", "(", ")", "[", "]", "{", "}",
	}
}

// hostileNames are whole names: with something in front they would be harmless.
func hostileNames() []string {
	return []string{
		"*", "%", "_", ".", "..", "../", "/", "//", "?", "#", "-", "--help", "%2e", "%2e%2e", "$", "0", "-1", "null", "true",
		"public", "none", "current_user", "session_user",
		"root", "me", "self", "default", ".search", "Bulk", "'", `"`, ";", "()", "{}",
	}
}

// hostileLengths are where platforms cut: 63 bytes, 64, 255, 256, and far beyond; in bytes and in characters.
func hostileLengths(prefix string) []string {
	var names []string
	for _, n := range []int{62, 63, 64, 100, 128, 255, 256, 1024, 5000} {
		names = append(names, prefix+strings.Repeat("x", n-len(prefix)))
	}
	for _, n := range []int{24, 25, 60, 250} {
		names = append(names, prefix+strings.Repeat("é", n))
	}
	return names
}

// bystanders are accounts that nothing here addresses.
func (k *kit) bystanders() []nhi.Account {
	k.Helper()
	ours := k.create()
	k.grant(ours.Ref, k.h.Entitlements(k.T, 2)...)
	if k.spec.Can(driver.CanIssue) && as[driver.Issuer](k).Slots() > 0 {
		k.issue(ours.Ref)
	}
	return []nhi.Account{k.read(ours.Ref), k.foreign(k.h.Entitlements(k.T, 1)...)}
}

// hostileAccountNames uses every hostile name that the kind allows, and compares accounts that are not addressed.
func hostileAccountNames(k *kit) {
	bystanders, e := k.bystanders(), k.h.SharedEntitlement(k.T)
	prefix := k.name()
	names := slices.Concat(hostileNames(), hostileLengths(prefix), k.h.HostileNames())
	for _, text := range hostileTexts() {
		names = append(names, prefix+text, prefix+text+"x")
	}
	var stored []nhi.Account
	for _, name := range names {
		if err := k.spec.CheckName(name); err != nil {
			k.wantNamed(err, name)
			continue
		}
		if !k.exists(name) {
			stored = append(stored, k.useHostile(name, e))
		}
	}
	k.Logf("%d of %d hostile names are possible", len(stored), len(names))
	k.wantAllSame(bystanders)
	if k.spec.Can(driver.CanSweep) {
		found := k.sweep(driver.SweepFilter{})
		for _, account := range stored {
			k.wantSwept(found, account)
		}
	}
	for i, account := range stored {
		k.delete(nhi.Ref{Name: account.Name})
		k.wantAbsent(account.Ref)
		if i+1 < len(stored) {
			k.wantSame(stored[i+1])
		}
	}
	k.wantAllSame(bystanders)
}

// exists reports whether the platform itself has an account of a name that the suite did not choose (root, public).
func (k *kit) exists(name string) bool {
	k.Helper()
	account, err := k.d.ReadAccount(k.ctx, nhi.Ref{Name: name})
	if err == nil {
		if account.Name != name {
			k.Fatalf("a read of %q returns the account %q", name, account.Name)
		}
		return true
	}
	k.wantCode(err, "read of "+name, driver.NotFound)
	return false
}

// useHostile makes an account and checks that its name is kept and addresses it alone.
func (k *kit) useHostile(name string, e nhi.Entitlement) nhi.Account {
	k.Helper()
	account := k.create(func(s *driver.AccountSpec) { s.Name = name })
	byName := k.read(nhi.Ref{Name: name})
	if account.Name != name || byName.Ref != account.Ref {
		k.Fatalf("created %q, read back %+v by id and %+v by name", name, account.Ref, byName.Ref)
	}
	k.grant(account.Ref, e)
	k.wantHolds(account.Ref, nhi.Union(account.Entitlements, []nhi.Entitlement{e}))
	k.revoke(nhi.Ref{Name: name}, e)
	k.wantSame(account)
	return account
}

func (k *kit) wantAllSame(accounts []nhi.Account) {
	k.Helper()
	for _, account := range accounts {
		k.wantSame(account)
	}
}

// wantNamed checks that a refusal says which name it means.
func (k *kit) wantNamed(err error, name string) {
	k.Helper()
	if !strings.Contains(err.Error(), strconv.Quote(name)) {
		k.Errorf("the refusal of %q does not name it: %v", name, err)
	}
}

func hostileRefusedNames(k *kit) {
	for _, name := range []string{"", "\x00", "a\x00b", "a\nb", "a\rb", "a\tb", "a\x7fb", "\xff\xfe", " a", "a ", "\u00a0a"} {
		if err := k.spec.CheckName(name); err == nil {
			k.Errorf("the account name %q is not refused", name)
		} else {
			k.wantNamed(err, name)
		}
	}
	for _, row := range k.spec.Grammar.Types {
		name := row.Name
		for _, text := range []string{
			name, name + ":", name + ":a\x00b", name + ":a\nb", name + ": a", ":a", "x" + row.Example,
		} {
			if _, err := k.spec.Grammar.Parse(text); err == nil {
				k.Errorf("the entitlement %q is not refused", text)
			}
		}
	}
}

// hostileTargets grants entitlements on every hostile target that the grammar allows. Such a grant says Invalid, or
// gives exactly what was asked for.
func hostileTargets(k *kit) {
	bystanders, account := k.bystanders(), k.create()
	granted, refused := 0, 0
	for _, e := range k.hostileEntitlements() {
		err := k.settle(func() error { return k.d.Grant(k.ctx, account.Ref, []nhi.Entitlement{e}) })
		if err != nil {
			k.wantCode(err, "grant of "+e.String(), driver.Invalid)
			k.revoke(account.Ref, e)
			refused++
			continue
		}
		k.wantHolds(account.Ref, nhi.Union(account.Entitlements, []nhi.Entitlement{e}))
		k.revoke(account.Ref, e)
		k.wantSame(account)
		granted++
	}
	k.Logf("%d hostile targets granted, %d refused by the platform", granted, refused)
	k.wantSame(account)
	k.wantAllSame(bystanders)
}

// hostileEntitlements are those that the grammar lets pass.
func (k *kit) hostileEntitlements() []nhi.Entitlement {
	prefix := k.name()
	targets := slices.Concat(hostileNames(), hostileLengths(prefix))
	for _, text := range hostileTexts() {
		targets = append(targets, prefix+"."+text+"x", text+"x", prefix+".x("+text+")")
	}
	var es []nhi.Entitlement
	for _, row := range k.spec.Grammar.Types {
		permission := ""
		if example, err := k.spec.Grammar.ParseObserved(row.Example); err == nil {
			permission = example.Permission
		}
		for _, target := range targets {
			text := nhi.Entitlement{Type: row.Name, Target: target, Permission: permission}.String()
			if e, err := k.spec.Grammar.Parse(text); err == nil {
				es = append(es, e)
			}
		}
	}
	return es
}
