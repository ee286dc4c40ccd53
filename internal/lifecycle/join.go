package lifecycle

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// join puts the accounts of one identity together.
type join struct {
	Search
	stack string
	name  *regexp.Regexp
	// assigned is Search.Accounts turned around: platform and account → identity.
	assigned map[accountAt]string
	// taken are the names of identities that are in use.
	taken map[string]bool
}

type accountAt struct{ at, name string }

// identityKey tells identities apart while they are put together.
type identityKey struct {
	mark nhi.Mark
	// Without a mark: the name, and the status, because an identity is suspended as a whole or not at all.
	name   string
	status nhi.Status
}

func newJoin(f *fleet.Fleet, s Search) *join {
	j := &join{Search: s, stack: f.Stack(), assigned: make(map[accountAt]string), taken: make(map[string]bool)}
	if s.Name != "" {
		pattern := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(s.Name))
		j.name = regexp.MustCompile("(?s)^" + pattern + "$") // everything else is quoted
	}
	for identity, accounts := range s.Accounts {
		j.taken[identity] = true
		for platform, account := range accounts {
			j.assigned[accountAt{platform, account}] = identity
		}
	}
	return j
}

// alone reports an account that is the only one of its identity, because only one platform is looked at.
func (j *join) alone(a located, found func(Discovered) bool) bool {
	return !j.matches(a) || found(*j.begin(a))
}

// all reports the identities of accounts, in the order of their first ones.
func (j *join) all(accounts []located, found func(Discovered) bool) {
	for _, a := range accounts {
		if a.account.Mark.Stack == j.stack {
			j.taken[a.account.Mark.Identity] = true
		}
	}
	var order []*Discovered
	open, seen := make(map[identityKey]*Discovered), make(map[accountAt]string)
	for _, a := range accounts {
		at := accountAt{cmp.Or(a.conn.Target().Realm, a.conn.Target().ID), a.account.Name}
		if other, twice := seen[at]; twice && other != a.platform() {
			continue // one account, seen through two platforms that are parts of one system
		}
		seen[at] = a.platform()
		key := j.key(a)
		group := open[key]
		if group == nil || group.has(a.platform()) {
			group = j.begin(a)
			open[key], order = group, append(order, group)
			continue
		}
		group.add(a)
	}
	for _, group := range order {
		if slices.ContainsFunc(group.members, j.matches) && !found(*group) {
			return
		}
	}
}

func (j *join) key(a located) identityKey {
	if !a.account.Mark.IsZero() {
		return identityKey{mark: a.account.Mark}
	}
	if identity, ok := j.assigned[accountAt{a.platform(), a.account.Name}]; ok {
		return identityKey{name: "assigned " + identity} // the space keeps it apart from names
	}
	return identityKey{name: a.account.Name, status: a.account.Status}
}

// begin makes an identity of one account.
func (j *join) begin(a located) *Discovered {
	d := &Discovered{
		ManagedBy: j.manager(a.account), Stack: a.account.Mark.Stack, Accounts: make(map[string]nhi.Account), Records: make(map[string]Record),
	}
	assigned := j.assigned[accountAt{a.platform(), a.account.Name}]
	if d.Name = cmp.Or(a.account.Mark.Identity, assigned); d.Name == "" {
		d.Name = j.unique(a.account.Name)
	}
	d.add(a)
	return d
}

func (d *Discovered) has(platform string) bool {
	_, ok := d.Accounts[platform]
	return ok
}

func (d *Discovered) add(a located) {
	d.Accounts[a.platform()], d.Records[a.platform()] = a.account, record(a.conn, a.account)
	d.members = append(d.members, a)
}

func (j *join) manager(a nhi.Account) Manager {
	switch a.Mark.Stack {
	case "":
		return Nobody
	case j.stack:
		return ThisStack
	default:
		return AnotherStack
	}
}

var notInNames = regexp.MustCompile(`[^a-zA-Z0-9._-]+`)

const (
	// longestName is how long an identity's name may be, hashLetters how much of it a hash takes where it needs one.
	longestName = 63
	hashLetters = 8
)

// unique makes the name of an identity from that of an account: the same where that can be, else with other letters
// replaced, and with a hash of the account's name where that is taken.
func (j *join) unique(account string) string {
	base := strings.Trim(notInNames.ReplaceAllString(account, "-"), "-._")
	base = base[:min(len(base), longestName)]
	name := base
	if nhi.CheckIdentityName(account) == nil {
		name = account
	}
	for n := 0; name == "" || j.taken[name]; n++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s", n, account))
		name = strings.TrimLeft(base[:min(len(base), longestName-hashLetters-1)]+"-", "-") + hex.EncodeToString(sum[:])[:hashLetters]
	}
	j.taken[name] = true
	return name
}

// matches reports whether one account has everything that is searched for.
func (j *join) matches(a located) bool {
	switch {
	case j.ManagedBy != "" && j.ManagedBy != j.manager(a.account):
		return false
	case j.name != nil && !j.name.MatchString(a.account.Name):
		return false
	case j.Suspended != nil && *j.Suspended != (a.account.Status == nhi.Suspended):
		return false
	case !j.UnusedSince.IsZero() && (!a.conn.Platform().Spec().TellsLastUse || j.used(a.account)):
		return false
	case !j.CredentialBefore.IsZero():
		return slices.ContainsFunc(a.account.Credentials, func(c nhi.Credential) bool {
			return !c.CreatedAt.IsZero() && c.CreatedAt.Before(j.CredentialBefore)
		})
	default:
		return true
	}
}

// used reports whether a credential of the account was used since, or may still be on its way to its first use.
func (j *join) used(a nhi.Account) bool {
	return slices.ContainsFunc(a.Credentials, func(c nhi.Credential) bool {
		return c.LastUsedAt.After(j.UnusedSince) || c.CreatedAt.After(j.UnusedSince)
	})
}
