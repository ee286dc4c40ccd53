package postgresql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReach has what only servers from version 16 on have: memberships that each say what they give. In a membership
// "member>role", i stands for INHERIT and s for SET.
func TestReach(t *testing.T) {
	names := []string{"", "who", "a", "b", "c", "d", "login"}
	oid := func(name string) uint32 { return uint32(slices.Index(names, name)) } //nolint:gosec // Small.
	for _, test := range []struct{ memberships, want string }{
		{"", ""},
		{"who>a:is", "a via [role:a], set by [SET ROLE a]"},
		{"who>a:i", "a via [role:a]"},
		{"who>a:s", "a via [SET ROLE a], set by [SET ROLE a]"},
		{"who>a:", ""},
		{"who>a:i a>b:s", "a via [role:a]"},
		{"who>a:s a>b:i", "a via [SET ROLE a], set by [SET ROLE a]; b via [SET ROLE a role:b]"},
		{"who>a:is a>b:s b>c:i", "a via [role:a], set by [SET ROLE a]; b via [role:a SET ROLE b], set by [role:a SET ROLE b]; " +
			"c via [role:a SET ROLE b role:c]"},
		{"who>a:is a>b:i who>b:s", "a via [role:a], set by [SET ROLE a]; b via [role:a role:b], set by [SET ROLE b]"},
		{"who>a:s a>c:s who>b:i b>c:i", "b via [role:b]; c via [role:b role:c], set by [SET ROLE a SET ROLE c]; " +
			"a via [SET ROLE a], set by [SET ROLE a]"},
		{"login>who:is login>a:s who>b:i", "b via [role:b]; a via [SET ROLE a], set by [SET ROLE a]"},
		{"who>a:i who>b:i a>c:i b>c:i c>d:i", "a via [role:a]; b via [role:b]; c via [role:a role:c]; d via [role:a role:c role:d]"},
	} {
		s := &surroundings{roles: map[uint32]roleFacts{}, members: map[uint32][]relation{}}
		for i, name := range names {
			s.roles[uint32(i)] = roleFacts{name: name} //nolint:gosec // Small.
		}
		for _, text := range strings.Fields(test.memberships) {
			edge, gives, _ := strings.Cut(text, ":")
			member, role, _ := strings.Cut(edge, ">")
			s.members[oid(member)] = append(s.members[oid(member)], relation{
				member: oid(member), role: oid(role), inherit: strings.Contains(gives, "i"), set: strings.Contains(gives, "s"),
			})
		}
		var got []string
		for _, r := range s.reach([]uint32{oid("who"), oid("login")}) {
			text := fmt.Sprintf("%s via %s", names[r.oid], r.via)
			if r.setVia != nil {
				text += fmt.Sprintf(", set by %s", r.setVia)
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(test.want, strings.Join(got, "; ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.memberships, diff)
		}
	}
}
