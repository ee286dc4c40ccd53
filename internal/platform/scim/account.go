package scim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// CreateAccount makes a User with its mark in externalId. A service that changes the name or drops the mark gets its
// User deleted again: the one could not be found, the other would belong to nobody.
func (d *Driver) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	if _, err := d.discover(ctx); err != nil {
		return nhi.Ref{}, err
	}
	if err := checkSettings(spec.Settings); err != nil {
		return nhi.Ref{}, err
	}
	response, err := d.call(ctx, rest.Request{Method: http.MethodPost, Path: usersPath, Body: d.newUser(spec)}, nil)
	if isStatus(err, http.StatusConflict) {
		return nhi.Ref{}, driver.Errorf(driver.AlreadyExists, "user %q: %w", spec.Name, err)
	}
	if err != nil {
		return nhi.Ref{}, err
	}
	made, err := d.created(ctx, response, spec)
	if err != nil {
		return nhi.Ref{}, driver.AfterChange(d.Classify, err)
	}
	ref := nhi.Ref{Name: spec.Name, ID: made.ID}
	switch {
	case made.UserName != spec.Name:
		err = driver.Errorf(driver.Invalid, "the service changes the name %q to %q: use that name", spec.Name, made.UserName)
	case nhi.FindMark(made.ExternalID) != spec.Mark:
		err = driver.Errorf(driver.Unsupported, "the service did not keep the externalId of user %q, where the ownership mark "+
			"has its place: allow this client to write externalId", spec.Name)
	default:
		return ref, nil
	}
	if undo := d.DeleteAccount(context.WithoutCancel(ctx), ref); undo != nil {
		err = fmt.Errorf("%w; removing the user again failed: %w", err, undo)
	}
	return nhi.Ref{}, err
}

// created reads the answer to the creation. RFC 7644 wants the User in it; a service that sends nothing is asked. There is a
// user, so that it is not found says only that the service does not show it yet.
func (d *Driver) created(ctx context.Context, response *rest.Response, spec driver.AccountSpec) (user, error) {
	if len(response.Body) == 0 {
		u, err := d.located(ctx, response.Header.Get("Location"), spec)
		if d.isNotFound(err) {
			err = driver.Errorf(driver.Unavailable, "user %q was created, but the service does not show it yet: %w", spec.Name, err)
		}
		return u, err
	}
	var u user
	if err := response.Decode(&u); err != nil {
		return user{}, fmt.Errorf("user %q was created, but %w", spec.Name, err)
	}
	if u.ID == "" {
		return user{}, &rest.ContentError{Reason: "to the creation has no id"}
	}
	return u, nil
}

// located reads a new user by the id in Location (RFC 7644, section 3.3), or by name, as a search may show it only later. That
// Location leads to this user is believed if its name and mark are there.
func (d *Driver) located(ctx context.Context, location string, spec driver.AccountSpec) (user, error) {
	if _, escaped, ok := strings.Cut(location, usersPath+"/"); ok {
		id, err := url.PathUnescape(escaped)
		if err == nil && id != "" {
			u, err := d.find(ctx, nhi.Ref{ID: id})
			if err != nil && !d.isNotFound(err) {
				return user{}, err
			}
			if err == nil && nhi.FindMark(u.ExternalID) == spec.Mark && strings.EqualFold(u.UserName, spec.Name) {
				return u, nil
			}
		}
	}
	return d.find(ctx, nhi.Ref{Name: spec.Name})
}

func (d *Driver) newUser(spec driver.AccountSpec) user {
	active := !spec.Suspended
	u := user{
		Schemas: []string{userSchema}, ExternalID: spec.Mark.String(), UserName: spec.Name, Active: &active,
		DisplayName: spec.Settings[settingDisplayName], UserType: spec.Settings[settingUserType],
	}
	if address := spec.Settings[settingEmail]; address != "" {
		u.Emails = []email{{Value: address, Type: "work", Primary: true}}
	}
	if d.isSAP() {
		d.completeForSAP(&u, spec)
	}
	return u
}

// completeForSAP adds what the Identity Directory requires of a User, and its validity.
func (d *Driver) completeForSAP(u *user, spec driver.AccountSpec) {
	sendMail := false
	u.Schemas = append(u.Schemas, sapUserSchema)
	u.Name = &personName{FamilyName: familyName(spec.Name)}
	u.SAP = &sapUser{Status: sapStatus(*u.Active), SendMail: &sendMail, ValidTo: timeText(spec.ExpiresAt)}
	if len(u.Emails) == 0 {
		// An address is required and has to be unique; nobody reads mail for a machine.
		sum := sha256.Sum256([]byte(strings.ToLower(spec.Name)))
		u.Emails = []email{{Value: "nhi-" + hex.EncodeToString(sum[:8]) + "@" + d.config.EmailDomain, Type: "work", Primary: true}}
	}
}

// familyName leaves out the characters that the Identity Directory refuses in names of people.
func familyName(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("<>:", r) {
			return '_'
		}
		return r
	}, name)
}

func sapStatus(active bool) string {
	if active {
		return sapActive
	}
	return sapInactive
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func checkSettings(settings map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		switch name {
		case settingEmail, settingDisplayName, settingUserType:
		default:
			return driver.Errorf(driver.Invalid, "unknown setting %q: a SCIM account has %s, %s and %s",
				name, settingEmail, settingDisplayName, settingUserType)
		}
	}
	return nil
}

// UpdateAccount changes the mark, settings and, for SAP, the validity in one request.
func (d *Driver) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	if err := checkSettings(change.Settings); err != nil {
		return err
	}
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	var edits []edit
	if change.Mark != nil {
		if edits, err = markEdits(u, *change.Mark); err != nil {
			return err
		}
	}
	edits = append(edits, settingEdits(u, change.Settings)...)
	if change.ExpiresAt != nil && d.isSAP() {
		edits = append(edits, edit{schema: sapUserSchema, attr: "validTo", value: orNil(timeText(*change.ExpiresAt))})
	}
	return d.modify(ctx, resourcePath(usersPath, u.ID), edits)
}

// markEdits refuses to overwrite an externalId that is another system's key to this user: with it gone, that system
// would no longer find the user, or make a second one.
func markEdits(u user, mark nhi.Mark) ([]edit, error) {
	if foreign := nhi.WithMark(u.ExternalID, nhi.Mark{}); foreign != "" && !mark.IsZero() {
		return nil, driver.Errorf(driver.Conflict, "user %q has the externalId %q of another system in the place of the ownership "+
			"mark; nothing was changed: stop that system from provisioning this user and remove the externalId, or declare "+
			"another account name", u.UserName, foreign)
	}
	text := nhi.WithMark(u.ExternalID, mark)
	if text == u.ExternalID {
		return nil, nil
	}
	return []edit{{attr: "externalId", value: orNil(text)}}, nil
}

func settingEdits(u user, settings map[string]string) []edit {
	var edits []edit
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		text := settings[name]
		switch name {
		case settingEmail:
			if primaryEmail(u.Emails) != text {
				edits = append(edits, edit{kind: setEmail, attr: "emails", entry: text})
			}
		case settingDisplayName:
			if u.DisplayName != text {
				edits = append(edits, edit{attr: "displayName", value: orNil(text)})
			}
		case settingUserType:
			if u.UserType != text {
				edits = append(edits, edit{attr: "userType", value: orNil(text)})
			}
		}
	}
	return edits
}

// orNil makes the removal of an attribute from an empty text.
func orNil(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// Suspend sets the user inactive.
func (d *Driver) Suspend(ctx context.Context, ref nhi.Ref) error { return d.setActive(ctx, ref, false) }

// Resume sets the user active.
func (d *Driver) Resume(ctx context.Context, ref nhi.Ref) error { return d.setActive(ctx, ref, true) }

func (d *Driver) setActive(ctx context.Context, ref nhi.Ref, active bool) error {
	u, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	raw := json.RawMessage(fmt.Sprint(active))
	edits := []edit{{attr: "active", value: raw}}
	if d.isSAP() {
		edits = append(edits, edit{schema: sapUserSchema, attr: "status", value: sapStatus(active)})
	}
	return d.modify(ctx, resourcePath(usersPath, u.ID), edits)
}

// DeleteAccount takes the user out of its groups and deletes it. In this order, because some services keep the id of a
// deleted user in their groups.
func (d *Driver) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	u, err := d.find(ctx, ref)
	if d.isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	groups, err := d.groupsOf(ctx, u, nil)
	if err != nil {
		return err
	}
	// A service that cannot take one user out of a group does it when the user is deleted.
	if err := d.leave(ctx, u.ID, groups); err != nil && d.Classify(err).Code != driver.Unsupported {
		return err
	}
	_, err = d.call(ctx, rest.Request{Method: http.MethodDelete, Path: resourcePath(usersPath, u.ID)}, nil)
	if d.isNotFound(err) {
		return nil
	}
	return err
}
