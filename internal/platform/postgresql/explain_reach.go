package postgresql

import "slices"

// reached is a role whose rights an account has, or can take with SET ROLE.
type reached struct {
	oid uint32
	// via is a shortest way to its rights.
	via []string
	// setVia is a way that ends with acting as the role, nil if the account may not.
	setVia []string
}

// ways are the roles that a walk met, in its order, each with a way to it.
type ways struct {
	order []uint32
	via   map[uint32][]string
}

// walk follows memberships from roles with known ways, breadth first. It does not enter what is in seen.
func (s *surroundings) walk(from ways, follow func(relation) bool, step func(oid uint32) string, seen map[uint32]bool) ways {
	found := ways{via: map[uint32][]string{}}
	queue := slices.Clone(from.order)
	at := func(oid uint32) []string {
		if via, ok := found.via[oid]; ok {
			return via
		}
		return from.via[oid]
	}
	for len(queue) > 0 {
		member := queue[0]
		queue = queue[1:]
		for _, m := range s.members[member] {
			if seen[m.role] || !follow(m) {
				continue
			}
			seen[m.role] = true
			found.order = append(found.order, m.role)
			found.via[m.role] = append(slices.Clone(at(member)), step(m.role))
			queue = append(queue, m.role)
		}
	}
	return found
}

func inherits(m relation) bool { return m.inherit }

func (s *surroundings) stepInto(oid uint32) string {
	return membership{role: s.roles[oid].name}.entitlement().String()
}

// reach lists the roles whose rights the roles in start have. As the server does (has_privs_of_role, member_can_set_role):
// rights are inherited along memberships that all inherit; SET ROLE follows those that all allow it, and gives the rights
// that the role has and inherits.
func (s *surroundings) reach(start []uint32) []reached {
	begin := ways{order: start, via: map[uint32][]string{}}
	seen := func(more ...uint32) map[uint32]bool {
		set := map[uint32]bool{}
		for _, oid := range slices.Concat(start, more) {
			set[oid] = true
		}
		return set
	}
	inherited := s.walk(begin, inherits, s.stepInto, seen())
	settable := s.walk(begin, func(m relation) bool { return m.set }, func(oid uint32) string {
		if _, ok := inherited.via[oid]; ok {
			return s.stepInto(oid)
		}
		return stepSet + s.roles[oid].name
	}, seen())
	// What is behind a SET ROLE: the roles themselves, and what they inherit.
	behind := ways{via: map[uint32][]string{}}
	for _, oid := range settable.order {
		if _, ok := inherited.via[oid]; !ok {
			behind.order, behind.via[oid] = append(behind.order, oid), settable.via[oid]
		}
	}
	further := s.walk(behind, inherits, s.stepInto, seen(slices.Concat(inherited.order, behind.order)...))
	var all []reached
	for _, w := range []ways{inherited, behind, further} {
		for _, oid := range w.order {
			r := reached{oid: oid, via: w.via[oid]}
			if way, ok := settable.via[oid]; ok {
				r.setVia = append(slices.Clone(way[:len(way)-1]), stepSet+s.roles[oid].name)
			}
			all = append(all, r)
		}
	}
	return all
}
