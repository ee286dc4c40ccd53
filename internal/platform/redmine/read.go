package redmine

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const (
	// maxPage is the most that Redmine gives at once.
	maxPage = 100
	// listAttempts is how often a list is begun anew that changed while it was read.
	listAttempts = 5
)

// pageOf is one page of a list. Which of the lists is set depends on the path.
type pageOf struct {
	Users       []user       `json:"users"`
	Projects    []project    `json:"projects"`
	Memberships []membership `json:"memberships"`
	TotalCount  *int         `json:"total_count"`
	Offset      int          `json:"offset"`
	Limit       int          `json:"limit"`
}

// list reads all pages of a list. Redmine counts by offset, so what is removed meanwhile moves the rest: each page begins
// with the last row of the one before, and if that is another one the list is begun anew.
func list[T any](ctx context.Context, c *client, path string, query url.Values, rows func(pageOf) []T, id func(T) int) ([]T, error) {
	for range listAttempts {
		found, whole, err := listOnce(ctx, c, path, query, rows, id)
		if err != nil || whole {
			return found, err
		}
	}
	return nil, driver.Errorf(driver.Unavailable, "%s changed %d times while it was read", path, listAttempts)
}

func listOnce[T any](
	ctx context.Context, c *client, path string, query url.Values, rows func(pageOf) []T, id func(T) int,
) (found []T, whole bool, err error) {
	for {
		offset := max(0, len(found)-1)
		asked := url.Values{"offset": {strconv.Itoa(offset)}, "limit": {strconv.Itoa(c.config.PageSize)}}
		for name, values := range query {
			asked[name] = values
		}
		var page pageOf
		if err := c.get(ctx, path, asked, &page); err != nil {
			return nil, false, err
		}
		next := rows(page)
		switch {
		case page.TotalCount == nil || page.Offset != offset || page.Limit < 1:
			return nil, false, driver.Errorf(driver.Unknown, "the answer to %s is not a page of Redmine's", path)
		case len(found) > 0 && (len(next) == 0 || id(next[0]) != id(found[len(found)-1])):
			return nil, false, nil
		case len(found) > 0:
			next = next[1:]
		}
		found = append(found, next...)
		switch {
		case len(found) == *page.TotalCount:
			return found, true, nil
		case len(found) > *page.TotalCount:
			return nil, false, nil
		case len(next) == 0:
			return nil, false, driver.Errorf(driver.Unknown, "%s has %d rows, and Redmine gave %d of them", path, *page.TotalCount, len(found))
		}
	}
}

// users lists the users of one status, oldest first. Redmine leaves out locked users unless they are asked for, and does
// not say in a list which status a user has.
func (c *client) users(ctx context.Context, status int, query url.Values) ([]user, error) {
	asked := url.Values{"status": {strconv.Itoa(status)}, "sort": {"created_on,login"}}
	for name, values := range query {
		asked[name] = values
	}
	found, err := list(ctx, c, "/users.json", asked, func(p pageOf) []user { return p.Users }, func(u user) int { return u.ID })
	for i := range found {
		found[i].Status = status
	}
	return found, err
}

// ReadAccount implements driver.Driver.
func (c *client) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	field, err := c.fieldID(ctx)
	if err != nil {
		return nhi.Account{}, err
	}
	u, err := c.find(ctx, ref)
	if err != nil {
		return nhi.Account{}, err
	}
	direct, err := c.direct(ctx, u)
	if err != nil {
		return nhi.Account{}, err
	}
	return u.whole(field, direct), nil
}

// find returns the user that ref addresses, whole; NotFound if there is none.
func (c *client) find(ctx context.Context, ref nhi.Ref) (user, error) {
	number, err := c.numberOf(ctx, ref)
	if err != nil {
		return user{}, err
	}
	return c.load(ctx, ref, number)
}

// idForm is the form of account ids: Redmine's number of the user and the time of its creation. On some databases the
// number of the newest user is given again once that user is deleted.
var idForm = regexp.MustCompile(`^([1-9][0-9]*)@(.+)$`)

func (u user) ref() nhi.Ref {
	return nhi.Ref{Name: u.Login, ID: strconv.Itoa(u.ID) + "@" + u.CreatedOn}
}

// numberOf returns Redmine's number of the user that ref addresses. Whether the user still is the one with ref's id is for
// load to see.
func (c *client) numberOf(ctx context.Context, ref nhi.Ref) (string, error) {
	if ref.ID != "" {
		parts := idForm.FindStringSubmatch(ref.ID)
		if parts == nil {
			return "", driver.Errorf(driver.Invalid, "%q is not the id of a Redmine user", ref.ID)
		}
		return parts[1], nil
	}
	// Active ones are asked for twice, so that a user who is unlocked meanwhile is seen.
	statuses := []int{statusActive, statusLocked, statusRegistered, statusActive}
	same, err := c.named(ctx, ref.Name, statuses, func(login string) bool { return login == ref.Name })
	switch {
	case err != nil:
		return "", err
	case len(same) == 0:
		return "", c.absent(ctx, ref)
	case len(same) > 1:
		return "", driver.Errorf(driver.Unknown, "Redmine has %d users with the login %q", len(same), ref.Name)
	}
	return strconv.Itoa(same[0].ID), nil
}

// load reads the user with a number, NotFound if it is not the one that ref addresses.
func (c *client) load(ctx context.Context, ref nhi.Ref, id string) (user, error) {
	var answer struct {
		User user `json:"user"`
	}
	err := c.get(ctx, "/users/"+id+".json", url.Values{"include": {"memberships,groups"}}, &answer)
	switch u := answer.User; {
	case isStatus(err, http.StatusNotFound):
		return user{}, c.absent(ctx, ref)
	case err != nil:
		return user{}, err
	case strconv.Itoa(u.ID) != id || u.Login == "":
		return user{}, driver.Errorf(driver.Unknown, "the answer is not Redmine's user %s", id)
	case u.Status == 0: // It is shown to administrators alone; a key that is refused makes us anonymous here.
		if err := c.absent(ctx, ref); driver.CodeOf(err) != driver.NotFound {
			return user{}, err
		}
		return user{}, driver.Errorf(driver.Unknown, "the answer lacks the status of user %s", id)
	case ref.ID != "" && u.ref().ID != ref.ID:
		return user{}, driver.Errorf(driver.NotFound, "there is no user %q with the id %s any more", ref.Name, ref.ID)
	default:
		return u, nil
	}
}

var errNotAdmin = errors.New("the API key is not that of an administrator, from whom alone Redmine hides nothing")

// absent makes the error that says that an account does not exist. Redmine answers who may not see a user as if there were
// none; an administrator sees all.
func (c *client) absent(ctx context.Context, ref nhi.Ref) error {
	me, err := c.currentUser(ctx)
	if err != nil {
		return err
	}
	if !me.Admin {
		return driver.Errorf(driver.PermissionDenied, "%w", errNotAdmin)
	}
	return driver.Errorf(driver.NotFound, "there is no user %q", ref.Name)
}

// currentUser asks who we are.
func (c *client) currentUser(ctx context.Context) (user, error) {
	var answer struct {
		User user `json:"user"`
	}
	if err := c.get(ctx, "/users/current.json", nil, &answer); err != nil {
		return user{}, err
	}
	if answer.User.ID == 0 || answer.User.Login == "" {
		return user{}, driver.Errorf(driver.Unknown, "the answer is not one of Redmine's: it names no user")
	}
	return answer.User, nil
}

// named lists the users whose login fits, of the first of the statuses that has any. Redmine searches for parts of logins and
// of other fields.
func (c *client) named(ctx context.Context, login string, statuses []int, fits func(login string) bool) ([]user, error) {
	for _, status := range statuses {
		users, err := c.users(ctx, status, url.Values{"name": {login}})
		if err != nil {
			return nil, err
		}
		users = slices.DeleteFunc(users, func(u user) bool { return !fits(u.Login) })
		if len(users) > 0 {
			return users, nil
		}
	}
	return nil, nil
}

// fieldID returns the id of the custom field for marks. Redmine ignores a value for a field that does not exist.
func (c *client) fieldID(ctx context.Context) (int, error) {
	field, err := c.field.Get(ctx, func(customField) bool { return true }, c.markField)
	if err == nil && field.ID == 0 {
		err = driver.Errorf(driver.Invalid, "%s", c.noField())
	}
	return field.ID, err
}

func (c *client) noField() string {
	return "Redmine has no custom field " + strconv.Quote(c.config.MarkField) + " of users in the format \"Long text\", visible and " +
		"without a maximum length, which holds the ownership mark; an administrator makes one that is not editable"
}

// markField looks for the field; its id is 0 if there is none. Redmine's API shows an invisible field to nobody, not even to
// administrators.
func (c *client) markField(ctx context.Context) (customField, error) {
	var answer struct {
		Fields *[]customField `json:"custom_fields"`
	}
	if err := c.get(ctx, "/custom_fields.json", nil, &answer); err != nil {
		return customField{}, err
	}
	if answer.Fields == nil {
		return customField{}, driver.Errorf(driver.Unknown, "the answer is not Redmine's list of custom fields")
	}
	for _, f := range *answer.Fields {
		if f.Name == c.config.MarkField && f.Type == "user" && f.Format == "text" && f.Visible && (f.Max == nil || *f.Max == 0) {
			return f, nil
		}
	}
	return customField{}, nil
}

// direct lists what a user holds directly, sorted.
func (c *client) direct(ctx context.Context, u user) ([]nhi.Entitlement, error) {
	var found []nhi.Entitlement
	if u.Admin {
		found = append(found, nhi.Entitlement{Type: typeGlobal, Target: administrator})
	}
	for _, g := range u.Groups {
		found = append(found, nhi.Entitlement{Type: typeGroup, Target: g.Name})
	}
	for _, m := range u.Memberships {
		for _, r := range m.Roles {
			if r.Inherited {
				continue
			}
			identifier, err := c.identifier(ctx, m.Project.ID)
			if err != nil {
				return nil, err
			}
			found = append(found, nhi.Entitlement{Type: typeProject, Target: identifier, Permission: r.Name})
		}
	}
	return nhi.SortEntitlements(found), nil
}

// identifier returns the identifier of a project.
func (c *client) identifier(ctx context.Context, id int) (string, error) {
	c.mu.Lock()
	identifier, ok := c.identifiers[id]
	c.mu.Unlock()
	if ok {
		return identifier, nil
	}
	var answer struct {
		Project project `json:"project"`
	}
	if err := c.get(ctx, "/projects/"+strconv.Itoa(id)+".json", nil, &answer); err != nil {
		return "", err
	}
	if answer.Project.ID != id || answer.Project.Identifier == "" {
		return "", driver.Errorf(driver.Unknown, "the answer is not Redmine's project %d", id)
	}
	c.remember(answer.Project)
	return answer.Project.Identifier, nil
}

func (c *client) remember(projects ...project) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range projects {
		c.identifiers[p.ID] = p.Identifier
	}
}

// whole is the account as the contract wants it.
func (u user) whole(field int, direct []nhi.Entitlement) nhi.Account {
	text := u.text(field)
	found := nhi.Account{
		Ref: u.ref(), Mark: nhi.FindMark(text), Status: nhi.Suspended, Entitlements: direct,
		Settings: map[string]string{settingEmail: u.Mail, settingFirstName: u.FirstName, settingLastName: u.LastName},
	}
	if u.Status == statusActive {
		found.Status = nhi.Active
	}
	if noted, ok := parseNote(text); ok {
		found.Credentials = []nhi.Credential{noted}
	}
	return found
}

// Sweep implements driver.Sweeper. Redmine lists neither memberships nor groups with users, so both are read the other way
// round: the number of requests grows with pages of users and with projects and groups, not with accounts.
func (c *client) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	field, err := c.fieldID(ctx)
	if err != nil {
		return err
	}
	var all []user
	for _, status := range []int{statusActive, statusLocked, statusRegistered} {
		users, err := c.users(ctx, status, nil)
		if err != nil {
			return err
		}
		all = append(all, users...)
	}
	if len(all) == 0 {
		return driver.Errorf(driver.Unknown, "Redmine lists no user, not even the one whose API key is used")
	}
	all = slices.DeleteFunc(all, func(u user) bool {
		return filter.Stack != "" && !strings.Contains(u.text(field), nhi.MarkPrefix(filter.Stack))
	})
	if err := c.addHoldings(ctx, all); err != nil {
		return err
	}
	accounts := make([]nhi.Account, 0, len(all))
	seen := map[int]bool{} // Somebody who is locked meanwhile is in two lists.
	for _, u := range all {
		direct, err := c.direct(ctx, u)
		if err != nil {
			return err
		}
		if !seen[u.ID] {
			seen[u.ID] = true
			accounts = append(accounts, u.whole(field, direct))
		}
	}
	for chunk := range slices.Chunk(accounts, maxPage) {
		if err := page(chunk); err != nil {
			return err
		}
	}
	return nil
}

// addHoldings adds memberships and groups to users.
func (c *client) addHoldings(ctx context.Context, all []user) error {
	at := map[int]*user{}
	for i := range all {
		at[all[i].ID] = &all[i]
	}
	projects, err := c.projects(ctx)
	if err != nil {
		return err
	}
	for _, p := range projects {
		path := "/projects/" + strconv.Itoa(p.ID) + "/memberships.json"
		members, err := list(ctx, c, path, nil, func(p pageOf) []membership { return p.Memberships }, func(m membership) int { return m.ID })
		if err != nil && !isStatus(err, http.StatusNotFound) { // Removed meanwhile.
			return err
		}
		for _, m := range members {
			if u := at[m.User.ID]; u != nil {
				u.Memberships = append(u.Memberships, m)
			}
		}
	}
	groups, err := c.groups(ctx)
	if err != nil {
		return err
	}
	for _, g := range groups {
		var answer struct {
			Group struct {
				ID    int      `json:"id"`
				Users *[]named `json:"users"`
			} `json:"group"`
		}
		err := c.get(ctx, "/groups/"+strconv.Itoa(g.ID)+".json", url.Values{"include": {"users"}}, &answer)
		switch {
		case isStatus(err, http.StatusNotFound):
			continue
		case err != nil:
			return err
		case answer.Group.ID != g.ID || answer.Group.Users == nil:
			return driver.Errorf(driver.Unknown, "the answer is not Redmine's group %q with its users", g.Name)
		}
		for _, member := range *answer.Group.Users {
			if u := at[member.ID]; u != nil {
				u.Groups = append(u.Groups, g)
			}
		}
	}
	return nil
}

// projects lists the projects in which memberships count. Redmine leaves out closed ones unless they are asked for, and shows
// archived ones to nobody, neither in this list nor with a user.
func (c *client) projects(ctx context.Context) ([]project, error) {
	asked := url.Values{"status": {strconv.Itoa(projectActive) + "|" + strconv.Itoa(projectClosed)}}
	found, err := list(ctx, c, "/projects.json", asked,
		func(p pageOf) []project { return p.Projects }, func(p project) int { return p.ID })
	if err != nil {
		return nil, err
	}
	c.remember(found...)
	return found, nil
}

// groups lists the groups that have members of their own. Redmine gives them all at once.
func (c *client) groups(ctx context.Context) ([]named, error) {
	var answer struct {
		Groups *[]named `json:"groups"`
	}
	if err := c.get(ctx, "/groups.json", nil, &answer); err != nil {
		return nil, err
	}
	if answer.Groups == nil {
		return nil, driver.Errorf(driver.Unknown, "the answer is not Redmine's list of groups")
	}
	return *answer.Groups, nil
}
