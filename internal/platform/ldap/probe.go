package ldap

import (
	"context"
	"fmt"
	"sync"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// facts are what does not change while a directory stands.
type facts struct {
	// root is the DN of the directory's top, groups the one below which groups are looked for; both with their match keys.
	root, groups       string
	rootKey, groupsKey string
	rootID             string
	// baseDN and baseID are those of the entry below which accounts are.
	baseDN, baseID string
	version        string
	// ppolicy: OpenLDAP has its overlay of that name.
	ppolicy bool
	// dnsDomain and domainSID are those of a domain of Active Directory.
	dnsDomain string
	domainSID []byte
	// primaryGroups holds the entitlements of groups that are the primary group of accounts, by their numbers.
	primaryGroups sync.Map
}

// facts reads them once.
func (c *client) facts(s *session) (*facts, error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	found, err := c.readFacts(s)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = found
	return found, nil
}

func (c *client) readFacts(s *session) (*facts, error) {
	rootDSE, ok, err := s.entry("", []string{"*", "+"})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("read the root DSE: %w", errIncomplete)
	}
	f := &facts{}
	if err := c.dialect.readFacts(s, rootDSE, f); err != nil {
		return nil, err
	}
	if f.rootID, err = c.idOf(s, f.root); err != nil {
		return nil, err
	}
	base, ok, err := s.entry(c.config.BaseDN, []string{c.dialect.idAttribute()})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, driver.Errorf(driver.Invalid, "base_dn: the directory shows no entry %q to %q", c.config.BaseDN, c.config.BindDN)
	}
	f.baseDN, f.baseID = base.DN, c.dialect.id(base)
	if f.baseID == "" {
		return nil, fmt.Errorf("%s of %q: %w", c.dialect.idAttribute(), base.DN, errIncomplete)
	}
	f.groups = orDefault(c.config.GroupsDN, f.root)
	f.rootKey, f.groupsKey = matchKey(f.root), matchKey(f.groups)
	return f, nil
}

func (c *client) idOf(s *session, dn string) (string, error) {
	e, ok, err := s.entry(dn, []string{c.dialect.idAttribute()})
	if err != nil {
		return "", err
	}
	if !ok || c.dialect.id(e) == "" {
		return "", driver.Errorf(driver.PermissionDenied, "the directory does not show %q the %s of %q", c.config.BindDN,
			c.dialect.idAttribute(), dn)
	}
	return c.dialect.id(e), nil
}

// Probe implements driver.Driver. The target is the directory (the id of its topmost entry, which replicas share) and in
// it the entry that holds the accounts.
func (c *client) Probe(ctx context.Context) (driver.Target, error) {
	var target driver.Target
	err := c.pool.with(ctx, func(s *session) error {
		f, err := c.readFacts(s) // Not from memory: the target may be another one now.
		if err != nil {
			return err
		}
		target.ID = "ldap:" + f.rootID + "/" + f.baseID
		if c.config.Dialect == ActiveDirectory { // One name is one account in the whole domain.
			target.Realm = "ldap:" + f.rootID
		}
		target.Version = f.version
		target.Lacking, err = c.dialect.lacking(s, f)
		return err
	})
	if err != nil {
		return driver.Target{}, err
	}
	return target, nil
}

// contextOf finds the naming context above a DN.
func contextOf(rootDSE *goldap.Entry, dn string) (string, bool) {
	key, best := matchKey(dn), ""
	for _, name := range rootDSE.GetEqualFoldAttributeValues("namingContexts") {
		if isBelow(key, matchKey(name)) && len(name) > len(best) {
			best = name
		}
	}
	return best, best != ""
}
