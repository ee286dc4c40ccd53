package redmine

import (
	"context"
	"net/url"
	"slices"
	"strconv"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const (
	// parentProject is the way of a role that no group gives: the project takes over the members of its parent.
	parentProject = "parent project"
	// nonMember is Redmine's role of every user in public projects. It has another name in an administrator's language.
	nonMember = "Non member"
)

// Explain implements driver.Explainer: roles through groups and parent projects, and that of everybody in public projects.
func (c *client) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	u, err := c.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	direct, err := c.direct(ctx, u)
	if err != nil {
		return nil, err
	}
	ways, err := c.groupRoles(ctx, u.Groups)
	if err != nil {
		return nil, err
	}
	var indirect []driver.Holding
	for _, m := range u.Memberships {
		identifier, err := c.identifier(ctx, m.Project.ID)
		if err != nil {
			return nil, err
		}
		var seen []int
		for _, r := range m.Roles {
			if !r.Inherited || slices.Contains(seen, r.ID) { // Redmine lists it once per group.
				continue
			}
			seen = append(seen, r.ID)
			e := nhi.Entitlement{Type: typeProject, Target: identifier, Permission: r.Name}
			through := ways[place{m.Project.ID, r.ID}]
			if len(through) == 0 {
				through = []string{parentProject}
			}
			for _, way := range through {
				indirect = append(indirect, driver.Holding{Entitlement: e, Via: []string{way}})
			}
		}
	}
	public, err := c.publicProjects(ctx, u)
	if err != nil {
		return nil, err
	}
	indirect = append(indirect, public...)
	slices.SortFunc(indirect, func(x, y driver.Holding) int {
		if n := x.Entitlement.Compare(y.Entitlement); n != 0 {
			return n
		}
		return slices.Compare(x.Via, y.Via)
	})
	found := make([]driver.Holding, 0, len(direct)+len(indirect))
	for _, e := range direct {
		found = append(found, driver.Holding{Entitlement: e})
	}
	return append(found, indirect...), nil
}

// place is a role in a project.
type place struct{ project, role int }

// groupRoles lists which of the groups give a role in a project.
func (c *client) groupRoles(ctx context.Context, groups []named) (map[place][]string, error) {
	ways := map[place][]string{}
	for _, g := range groups {
		var answer struct {
			Group struct {
				ID          int           `json:"id"`
				Memberships *[]membership `json:"memberships"`
			} `json:"group"`
		}
		if err := c.get(ctx, "/groups/"+strconv.Itoa(g.ID)+".json", url.Values{"include": {"memberships"}}, &answer); err != nil {
			return nil, err
		}
		if answer.Group.ID != g.ID || answer.Group.Memberships == nil {
			return nil, driver.Errorf(driver.Unknown, "the answer is not Redmine's group %q with its memberships", g.Name)
		}
		way := nhi.Entitlement{Type: typeGroup, Target: g.Name}.String()
		for _, m := range *answer.Group.Memberships {
			for _, r := range m.Roles {
				at := place{m.Project.ID, r.ID}
				if !slices.Contains(ways[at], way) {
					ways[at] = append(ways[at], way)
				}
			}
		}
	}
	return ways, nil
}

// publicProjects lists the projects in which the user is what everybody is: in closed ones that is a reader.
func (c *client) publicProjects(ctx context.Context, u user) ([]driver.Holding, error) {
	projects, err := c.projects(ctx)
	if err != nil {
		return nil, err
	}
	var found []driver.Holding
	for _, p := range projects {
		member := slices.ContainsFunc(u.Memberships, func(m membership) bool { return m.Project.ID == p.ID })
		if p.Public && !member {
			e := nhi.Entitlement{Type: typeProject, Target: p.Identifier, Permission: nonMember}
			found = append(found, driver.Holding{Entitlement: e, Via: []string{nonMember}})
		}
	}
	return found, nil
}
