package ldap

import (
	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// dialect is what differs between families of servers. Its methods work on a connection and on entries that were read with
// all of attributes.
type dialect interface {
	// readFacts completes what is known of the server from its root DSE and from the top of the directory.
	readFacts(s *session, rootDSE *goldap.Entry, f *facts) error
	// lacking says what our login may not do, as far as the server tells.
	lacking(s *session, f *facts) ([]string, error)

	// idAttribute holds the id that an entry keeps when it is renamed or moved.
	idAttribute() string
	// id is its text in e, "" if e lacks it.
	id(e *goldap.Entry) string
	// idFilter finds the entry with an id; ok is false for a text that can be no id.
	idFilter(id string) (filter string, ok bool)
	// nameAttribute holds the account's name; name is the one of e.
	nameAttribute() string
	name(e *goldap.Entry) string
	// accountFilter finds every account.
	accountFilter() string
	// attributes are those of an account that are read.
	attributes() []string
	// strict says that an answer that refers to other servers lacks something.
	strict() bool

	// observe returns what an entry says of its account, without its entitlements.
	observe(e *goldap.Entry) nhi.Account
	// entitlements returns those of one account; inBulk returns a function that does the same without asking for each
	// account.
	entitlements(s *session, f *facts, e *goldap.Entry) ([]nhi.Entitlement, error)
	inBulk(s *session, f *facts) (func(e *goldap.Entry) ([]nhi.Entitlement, error), error)

	// create makes an account with everything in spec and returns its DN. It leaves nothing behind when it fails.
	create(s *session, f *facts, spec driver.AccountSpec) (dn string, err error)
	// changes turns a change of an account into changes of its entry.
	changes(e *goldap.Entry, c driver.AccountChange) ([]change, error)
	suspend(s *session, f *facts, e *goldap.Entry) error
	resume(s *session, f *facts, e *goldap.Entry) error

	slots() int
	issue(s *session, f *facts, e *goldap.Entry, request driver.IssueRequest) (driver.Issued, error)
	revokeCredential(s *session, f *facts, e *goldap.Entry, id string) error

	// way is how an account comes into a group: the attribute that lists it then, and the value that stands for it. What is
	// no group is Invalid. ways are all by which it is in the group already.
	way(s *session, group, account *goldap.Entry) (membership, error)
	ways(s *session, group, account *goldap.Entry) ([]membership, error)
	// join and leave change one group. Both succeed if there is nothing to do.
	join(s *session, group string, m membership) error
	leave(s *session, group string, m membership) error
	// outlived says that memberships stay when the entry that they name is deleted.
	outlived() bool
	// revokeObserved takes away an entitlement of another type than group.
	revokeObserved(s *session, f *facts, account *goldap.Entry, e nhi.Entitlement) error

	// parents returns the groups of which a group is a direct member.
	parents(s *session, f *facts, group string) ([]nhi.Entitlement, error)
	// everywhere returns the groups that an account is in by the server's own account, if it gives one.
	everywhere(s *session, f *facts, account *goldap.Entry) (groups []nhi.Entitlement, known bool, err error)
	// given returns what an account has without being listed, and by what.
	given(s *session, f *facts, account *goldap.Entry) (es []nhi.Entitlement, by string, err error)
}

// membership is one way in which an account stands in a group.
type membership struct {
	attribute, value string
}

// groupEntitlement is membership in the group with that DN.
func groupEntitlement(dn string) (nhi.Entitlement, error) {
	canonical, err := canonicalDN(dn)
	if err != nil {
		return nhi.Entitlement{}, driver.Errorf(driver.Unknown, "the directory names a group %q: %w", dn, err)
	}
	return nhi.Entitlement{Type: typeGroup, Target: canonical}, nil
}

func groupEntitlements(dns []string) ([]nhi.Entitlement, error) {
	var all []nhi.Entitlement
	for _, dn := range dns {
		e, err := groupEntitlement(dn)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return nhi.SortEntitlements(all), nil
}
