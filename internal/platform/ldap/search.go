package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// errIncomplete is an answer that lacks what it must contain. It is never read as absence.
var errIncomplete = errors.New("the directory's answer is incomplete")

func request(base string, scope int, filter string, attributes []string) *goldap.SearchRequest {
	return goldap.NewSearchRequest(base, scope, goldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
}

// search returns all entries, however many pages the answer has.
func (s *session) search(r *goldap.SearchRequest, pageSize int, strict bool) ([]*goldap.Entry, error) {
	var all []*goldap.Entry
	err := s.pages(context.Background(), r, pageSize, strict, func(page []*goldap.Entry) error {
		all = append(all, page...)
		return nil
	})
	return all, err
}

// pages searches with the paged results control (RFC 2696) and calls visit for each page. With strict, an answer that
// names other servers for a part of it is an error: what is there would be missing.
func (s *session) pages(
	ctx context.Context, r *goldap.SearchRequest, pageSize int, strict bool, visit func([]*goldap.Entry) error,
) error {
	paging := goldap.NewControlPaging(uint32(pageSize)) // #nosec G115 -- Config bounds it.
	for {
		r.Controls = []goldap.Control{paging}
		result, err := s.Search(r)
		if goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject) {
			return driver.Errorf(driver.Invalid, "the directory shows no entry %q: %w", r.BaseDN, err)
		}
		if err != nil {
			return fmt.Errorf("search below %q: %w", r.BaseDN, explained(err))
		}
		if strict && len(result.Referrals) > 0 {
			return driver.Errorf(driver.Unsupported, "a part of %q is on another server (%s), which is not asked: %w",
				r.BaseDN, strings.Join(result.Referrals, ", "), errIncomplete)
		}
		if err := visit(result.Entries); err != nil {
			return err
		}
		answer, ok := goldap.FindControl(result.Controls, goldap.ControlTypePaging).(*goldap.ControlPaging)
		if !ok || len(answer.Cookie) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		paging.SetCookie(answer.Cookie)
	}
}

// entry reads one entry by its DN. ok is false if the server says that there is none.
func (s *session) entry(dn string, attributes []string) (e *goldap.Entry, ok bool, err error) {
	result, err := s.Search(request(dn, goldap.ScopeBaseObject, "(objectClass=*)", attributes))
	switch {
	case goldap.IsErrorAnyOf(err, goldap.LDAPResultNoSuchObject, goldap.LDAPResultInvalidDNSyntax):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read %q: %w", dn, explained(err))
	case len(result.Entries) != 1:
		return nil, false, fmt.Errorf("read %q: %w", dn, errIncomplete)
	}
	return result.Entries[0], true, nil
}

// matches reports whether the server shows an entry with that DN that a filter fits.
func (s *session) matches(dn, filter string) (bool, error) {
	result, err := s.Search(request(dn, goldap.ScopeBaseObject, filter, []string{"1.1"}))
	switch {
	case goldap.IsErrorWithCode(err, goldap.LDAPResultNoSuchObject):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read %q: %w", dn, explained(err))
	}
	return len(result.Entries) > 0, nil
}

// values returns all values of an attribute. Active Directory answers with no more than its MaxValRange at once (1,500),
// as "member;range=0-1499", and wants to be asked for the rest.
func (s *session) values(e *goldap.Entry, attribute string) ([]string, error) {
	found, next := ranged(e, attribute)
	for next != "" {
		more, ok, err := s.entry(e.DN, []string{attribute + ";range=" + next})
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, driver.Errorf(driver.Conflict, "%q has gone while it was read", e.DN)
		}
		var values []string
		values, next = ranged(more, attribute)
		if len(values) == 0 {
			return nil, fmt.Errorf("values of %s of %q: %w", attribute, e.DN, errIncomplete)
		}
		found = append(found, values...)
	}
	return found, nil
}

// ranged returns the values of an attribute in e, and from where on there are more, "" if these are all.
func ranged(e *goldap.Entry, attribute string) (values []string, next string) {
	for _, a := range e.Attributes {
		name, option, _ := strings.Cut(a.Name, ";")
		if !strings.EqualFold(name, attribute) {
			continue
		}
		values = append(values, a.Values...)
		bounds, isRange := strings.CutPrefix(strings.ToLower(option), "range=")
		_, last, _ := strings.Cut(bounds, "-")
		if n, err := strconv.Atoi(last); isRange && err == nil {
			next = strconv.Itoa(n+1) + "-*"
		}
	}
	return values, next
}

// modify sends one change of an entry; the server makes all of it or nothing.
func (s *session) modify(dn string, changes ...change) error {
	r := goldap.NewModifyRequest(dn, nil)
	for _, c := range changes {
		r.Changes = append(r.Changes, goldap.Change{
			Operation: c.operation, Modification: goldap.PartialAttribute{Type: c.attribute, Vals: c.values},
		})
	}
	if len(r.Changes) == 0 {
		return nil
	}
	if err := s.Modify(r); err != nil {
		return fmt.Errorf("change %q: %w", dn, explained(err))
	}
	return nil
}

// change is one part of a modification. Its values never appear in an error.
type change struct {
	operation uint
	attribute string
	values    []string
}

func adding(attribute string, values ...string) change {
	return change{goldap.AddAttribute, attribute, values}
}

// deleting with values fails if the entry does not have them, so that a change that came between is not lost.
func deleting(attribute string, values ...string) change {
	return change{goldap.DeleteAttribute, attribute, values}
}

func replacing(attribute string, values ...string) change {
	return change{goldap.ReplaceAttribute, attribute, values}
}

// replacingText changes a text with one value from what was read to what it shall be.
func replacingText(attribute, from, to string) []change {
	var changes []change
	if from == to {
		return nil
	}
	if from != "" {
		changes = append(changes, deleting(attribute, from))
	}
	if to != "" {
		changes = append(changes, adding(attribute, to))
	}
	return changes
}

func hasClass(e *goldap.Entry, class string) bool {
	return slices.ContainsFunc(e.GetEqualFoldAttributeValues("objectClass"), func(c string) bool {
		return strings.EqualFold(c, class)
	})
}

func anyOf(filters ...string) string { return "(|" + strings.Join(filters, "") + ")" }

func allOf(filters ...string) string { return "(&" + strings.Join(filters, "") + ")" }

// present is a filter for an attribute with any value.
func present(attribute string) string { return "(" + attribute + "=*)" }

// equals is a filter for a text value.
func equals(attribute, value string) string {
	return "(" + attribute + "=" + goldap.EscapeFilter(value) + ")"
}
