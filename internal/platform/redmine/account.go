package redmine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// maxMail is how long an address is made here. Versions of Redmine keep 60 characters and more.
const maxMail = 60

// CreateAccount implements driver.Driver: user and mark appear in one request. The user has a password that nobody knows.
func (c *client) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	if err := Spec().CheckName(spec.Name); err != nil {
		return nhi.Ref{}, driver.Errorf(driver.Invalid, "%w", err)
	}
	change, err := settingsChange(spec.Settings)
	if err != nil {
		return nhi.Ref{}, err
	}
	field, err := c.fieldID(ctx)
	if err != nil {
		return nhi.Ref{}, err
	}
	change.Login, change.Password, change.MailNotification = spec.Name, newPassword().Reveal(), "none"
	change.Mail = orDefault(change.Mail, c.address(spec.Name))
	change.FirstName = orDefault(change.FirstName, spec.Name[:min(len(spec.Name), maxName)])
	change.LastName = orDefault(change.LastName, "(service account)")
	change.CustomFields = []fieldWrite{{field, spec.Mark.String()}}
	if spec.Suspended {
		change.Status = statusLocked
	}
	var answer struct {
		User user `json:"user"`
	}
	err = c.do(ctx, rest.Request{
		Method: http.MethodPost, Path: "/users.json", Body: userBody{change}, Secrets: []secret.Value{secret.New(change.Password)},
	}, &answer)
	if isStatus(err, http.StatusUnprocessableEntity) {
		// Is it because of the login? The text that says so is in the administrator's language.
		if taken := c.checkTaken(ctx, spec.Name); driver.CodeOf(taken) == driver.AlreadyExists {
			return nhi.Ref{}, taken
		}
	}
	if err != nil {
		return nhi.Ref{}, err
	}
	made := answer.User
	if made.ID == 0 || made.Login != spec.Name {
		return nhi.Ref{}, driver.Errorf(driver.Unknown, "Redmine answered the creation of %q with another user", spec.Name)
	}
	if made.Status = statusActive; spec.Suspended {
		made.Status = statusLocked
	}
	return made.ref(), driver.AfterChange(c.Classify, c.checkAlone(ctx, made))
}

// checkTaken fails with AlreadyExists if a login is taken. Capitals and small letters are the same to Redmine.
func (c *client) checkTaken(ctx context.Context, login string) error {
	statuses := []int{statusActive, statusLocked, statusRegistered}
	same, err := c.named(ctx, login, statuses, func(other string) bool { return strings.EqualFold(other, login) })
	if err == nil && len(same) > 0 {
		err = driver.Errorf(driver.AlreadyExists, "there is a user %q already", same[0].Login)
	}
	return err
}

// checkAlone takes back a user if two requests of the same moment have made two users of one login, which Redmine's
// database does not prevent. The older one stays.
func (c *client) checkAlone(ctx context.Context, made user) error {
	same, err := c.named(ctx, made.Login, []int{made.Status}, func(other string) bool { return strings.EqualFold(other, made.Login) })
	if err != nil {
		return fmt.Errorf("user %q (id %d) is made; looking for others of that login: %w", made.Login, made.ID, err)
	}
	if !slices.ContainsFunc(same, func(u user) bool { return u.ID < made.ID }) {
		return nil
	}
	taken := driver.Errorf(driver.AlreadyExists, "there is a user %q already", made.Login)
	return errors.Join(taken, c.remove(context.WithoutCancel(ctx), made.ID))
}

// address is the address of an account that is given none. Two logins never get the same.
func (c *client) address(login string) string {
	local := strings.ReplaceAll(strings.ToLower(login), "@", "=")
	if len(local)+1+len(c.config.EmailDomain) > maxMail {
		sum := sha256.Sum256([]byte(local))
		local = hex.EncodeToString(sum[:16])
	}
	return local + "@" + c.config.EmailDomain
}

// settingsChange checks settings and says what they change.
func settingsChange(settings map[string]string) (userChange, error) {
	var change userChange
	for name, value := range settings {
		switch name {
		case settingEmail:
			change.Mail = value
		case settingFirstName:
			change.FirstName = value
		case settingLastName:
			change.LastName = value
		default:
			return userChange{}, driver.Errorf(driver.Invalid, "Redmine users have no setting %q; there are %s, %s and %s", name,
				settingEmail, settingFirstName, settingLastName)
		}
		if value == "" || strings.TrimSpace(value) != value {
			return userChange{}, driver.Errorf(driver.Invalid, "%s is empty or has white space at an end", name)
		}
		if name != settingEmail && utf8.RuneCountInString(value) > maxName {
			return userChange{}, driver.Errorf(driver.Invalid, "%s has more than %d characters", name, maxName)
		}
	}
	return change, nil
}

// change finds a user, alone among the writers of this process, and sends what work makes of it, if that is anything.
func (c *client) change(ctx context.Context, ref nhi.Ref, work func(u user, field int) (*userChange, error)) error {
	field, err := c.fieldID(ctx)
	if err != nil {
		return err
	}
	u, unlock, err := c.findLocked(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	change, err := work(u, field)
	if err != nil || change == nil {
		return err
	}
	return c.put(ctx, u.ID, *change)
}

func (c *client) put(ctx context.Context, id int, change userChange) error {
	return c.do(ctx, rest.Request{
		Method: http.MethodPut, Path: userPath(id), Body: userBody{change}, Secrets: []secret.Value{secret.New(change.Password)},
	}, nil)
}

func userPath(id int) string { return "/users/" + strconv.Itoa(id) + ".json" }

// findLocked finds a user when no other call of this process changes it. Who is changed has the name, too: within a second
// even an id can be given again.
func (c *client) findLocked(ctx context.Context, ref nhi.Ref) (user, func(), error) {
	id, err := c.numberOf(ctx, ref)
	if err != nil {
		return user{}, nil, err
	}
	unlock, err := userLocks.Lock(ctx, c.rest.BaseURL().String()+" "+id)
	if err != nil {
		return user{}, nil, err
	}
	u, err := c.load(ctx, ref, id)
	if err == nil && u.Login != ref.Name {
		err = driver.Errorf(driver.NotFound, "the user with the id %s is not named %q but %q", ref.ID, ref.Name, u.Login)
	}
	if err != nil {
		unlock()
		return user{}, nil, err
	}
	return u, unlock, nil
}

// UpdateAccount implements driver.Driver.
func (c *client) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	settings, err := settingsChange(change.Settings)
	if err != nil {
		return err
	}
	return c.change(ctx, ref, func(u user, field int) (*userChange, error) {
		if change.Mark == nil && len(change.Settings) == 0 {
			return nil, nil
		}
		if change.Mark != nil {
			settings.CustomFields = []fieldWrite{{field, nhi.WithMark(u.text(field), *change.Mark)}}
		}
		return &settings, nil
	})
}

// DeleteAccount implements driver.Driver. Redmine hands the user's issues and notes to its anonymous user.
func (c *client) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	u, unlock, err := c.findLocked(ctx, ref)
	if driver.CodeOf(err) == driver.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.mayBeSwitchedOff(ctx, u); err != nil {
		return err
	}
	return c.remove(ctx, u.ID)
}

func (c *client) remove(ctx context.Context, id int) error {
	err := c.do(ctx, rest.Request{Method: http.MethodDelete, Path: userPath(id)}, nil)
	if isStatus(err, http.StatusNotFound) {
		if err := c.absent(ctx, nhi.Ref{Name: strconv.Itoa(id)}); driver.CodeOf(err) != driver.NotFound {
			return err
		}
		return nil
	}
	return err
}

// Suspend implements driver.Suspender. Locking a user also ends its web sessions, and its API key is refused.
func (c *client) Suspend(ctx context.Context, ref nhi.Ref) error {
	return c.change(ctx, ref, func(u user, _ int) (*userChange, error) {
		if u.Status == statusLocked {
			return nil, nil
		}
		return &userChange{Status: statusLocked}, c.mayBeSwitchedOff(ctx, u)
	})
}

// Resume implements driver.Suspender.
func (c *client) Resume(ctx context.Context, ref nhi.Ref) error {
	return c.change(ctx, ref, func(u user, _ int) (*userChange, error) {
		if u.Status == statusActive {
			return nil, nil
		}
		return &userChange{Status: statusActive}, nil
	})
}

// mayBeSwitchedOff protects the user without whom nobody could undo it here.
func (c *client) mayBeSwitchedOff(ctx context.Context, u user) error {
	me, err := c.self.Get(ctx, func(user) bool { return true }, c.currentUser)
	if err == nil && me.ID == u.ID {
		err = driver.Errorf(driver.Invalid, "%q is the user whose API key this platform uses; it cannot be switched off here", u.Login)
	}
	return err
}
