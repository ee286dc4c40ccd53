package redmine

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// Probe implements driver.Driver. Redmine has no id of its own, and its address may change: the target is told by its
// oldest user, the administrator that its installation makes, with the moment at which that was.
func (c *client) Probe(ctx context.Context) (driver.Target, error) {
	me, err := c.currentUser(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	if !me.Admin {
		// Who is none may not even ask who the oldest user is. Plans fail with this sentence and not with a wrong target.
		return driver.Target{}, driver.Errorf(driver.PermissionDenied, "the user %q whose API key is used: %w", me.Login, errNotAdmin)
	}
	oldest, err := c.oldest(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	target := driver.Target{ID: fmt.Sprintf("redmine:%d@%s", oldest.ID, oldest.CreatedOn), Version: "Redmine"}
	field, err := c.markField(ctx)
	if err == nil && field.ID == 0 {
		target.Lacking = []string{c.noField() + "."}
	}
	return target, err
}

// oldest returns the user that was made first, whatever the status.
func (c *client) oldest(ctx context.Context) (user, error) {
	var found user
	for _, status := range []int{statusActive, statusLocked, statusRegistered} {
		var page pageOf
		query := url.Values{"status": {strconv.Itoa(status)}, "sort": {"created_on,login"}, "limit": {"1"}}
		if err := c.get(ctx, "/users.json", query, &page); err != nil {
			return user{}, err
		}
		if page.TotalCount == nil || len(page.Users) == 0 && *page.TotalCount > 0 {
			return user{}, driver.Errorf(driver.Unknown, "the answer is not Redmine's list of users")
		}
		for _, u := range page.Users {
			if found.ID == 0 || u.CreatedOn < found.CreatedOn {
				found = u
			}
		}
	}
	if found.ID == 0 || found.CreatedOn == "" {
		return user{}, driver.Errorf(driver.Unknown, "Redmine lists no user, not even the one whose API key is used")
	}
	return found, nil
}
