package jira

import (
	"context"
	"net/url"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// scanners is how many requests of a scan are under way at once.
const scanners = 8

// roleMap is who plays which role, by account id and by group id. Jira cannot be asked for the roles of one account.
type roleMap struct {
	byUser, byGroup map[string][]nhi.Entitlement
}

// roles reads every role of every project: one request per role, shared by all who ask at the same time.
func (d *Driver) roles(ctx context.Context) (roleMap, error) {
	return d.scans.get(ctx, d.scan)
}

type project struct {
	Key string `json:"key"`
}

// projects returns the projects that the login sees. Atlassian documents 404 for a search that finds none.
func (d *Driver) projects(ctx context.Context, query url.Values) ([]project, error) {
	found, err := list(ctx, d, projectsPath+"/search", query, func(p project) string { return p.Key })
	return found, d.gone(err)
}

// wantAllProjects fails unless the login is told of every project: Jira leaves out those that it may neither browse nor
// administer.
func (d *Driver) wantAllProjects(ctx context.Context) error {
	lacking, err := d.lacking(ctx)
	if err == nil && len(lacking) > 0 {
		err = driver.Errorf(driver.PermissionDenied, "%s Jira does not tell it of projects that it may not see, and what is held there "+
			"is not gone", lacking[0])
	}
	return err
}

func (d *Driver) scan(ctx context.Context) (roleMap, error) {
	query := url.Values{}
	if len(d.config.Projects) > 0 {
		query["keys"] = d.config.Projects
	}
	projects, err := d.projects(ctx, query)
	if err != nil {
		return roleMap{}, err
	}
	if seen := len(d.config.Projects); seen == 0 || len(projects) < seen {
		if err := d.wantAllProjects(ctx); err != nil {
			return roleMap{}, err
		}
	}
	found := roleMap{byUser: map[string][]nhi.Entitlement{}, byGroup: map[string][]nhi.Entitlement{}}
	var mu sync.Mutex
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(scanners)
	for _, p := range projects {
		work.Go(func() error {
			return guard.Call(ctx, "the driver", func() error {
				roles, err := d.projectRoles(ctx, p.Key)
				if d.isNotFound(err) {
					err = d.deleted(ctx, p.Key, err)
				}
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				for _, r := range roles {
					found.add(nhi.Entitlement{Type: typeProject, Target: p.Key, Permission: r.Name}, r.Actors)
				}
				return nil
			})
		})
	}
	return found, work.Wait()
}

// deleted returns nil if a project whose roles were not found, as err says, was deleted or renamed since it was listed. Jira
// says the same of one whose roles the login may not see.
func (d *Driver) deleted(ctx context.Context, key string, err error) error {
	if lookErr := d.checkKey(ctx, key); lookErr != nil {
		return d.gone(lookErr)
	}
	return d.beside("the roles of project "+key, err)
}

func (m roleMap) add(e nhi.Entitlement, actors []actor) {
	for _, a := range actors {
		switch {
		case a.User != nil:
			m.byUser[a.User.AccountID] = append(m.byUser[a.User.AccountID], e)
		case a.Group != nil:
			m.byGroup[a.Group.GroupID] = append(m.byGroup[a.Group.GroupID], e)
		}
	}
}

func (d *Driver) projectRoles(ctx context.Context, project string) ([]role, error) {
	ids, err := d.roleIDs(ctx, project)
	if err != nil {
		return nil, err
	}
	var roles []role
	for name, id := range ids {
		var r role
		if err := d.get(ctx, rolePath(project, id), nil, &r); err != nil {
			return nil, err
		}
		if r.ID != id || r.Name != name {
			return nil, &rest.ContentError{Reason: "to the read of a role is not that role"}
		}
		roles = append(roles, r)
	}
	return roles, nil
}

// batch lets those who ask at the same time share one scan. A scan serves only callers that came before it began, so
// everybody sees what they have written themselves. The zero batch is ready.
type batch struct {
	mu      sync.Mutex
	running bool
	// next is the scan that begins when the running one has ended.
	next *sharedScan
}

type sharedScan struct {
	ctx     context.Context //nolint:containedctx // It ends when nobody waits any more.
	cancel  context.CancelFunc
	waiting int
	done    chan struct{}
	roles   roleMap
	err     error
}

func (b *batch) get(ctx context.Context, do func(context.Context) (roleMap, error)) (roleMap, error) {
	s := b.join(ctx, do)
	defer b.leave(s)
	select {
	case <-s.done:
		return s.roles, s.err
	case <-ctx.Done():
		return roleMap{}, ctx.Err()
	}
}

func (b *batch) join(ctx context.Context, do func(context.Context) (roleMap, error)) *sharedScan {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		s := &sharedScan{done: make(chan struct{})}
		s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
		b.next = s
	}
	s := b.next
	s.waiting++
	if !b.running {
		b.running, b.next = true, nil
		go b.run(s, do)
	}
	return s
}

// run runs a scan, and then those that were asked for meanwhile.
func (b *batch) run(s *sharedScan, do func(context.Context) (roleMap, error)) {
	for s != nil {
		s.err = guard.Call(s.ctx, "the driver", func() (err error) {
			s.roles, err = do(s.ctx)
			return err
		})
		close(s.done)
		b.mu.Lock()
		s, b.next = b.next, nil
		b.running = s != nil
		b.mu.Unlock()
	}
}

func (b *batch) leave(s *sharedScan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.waiting--; s.waiting > 0 {
		return
	}
	s.cancel()
	if b.next == s {
		b.next = nil // Nobody must join a scan that was cancelled before it began.
	}
}
