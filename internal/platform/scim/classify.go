package scim

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// scimTypeCodes says what the types of RFC 7644 (table 9) and RFC 9865 mean. The others are left to the status.
var scimTypeCodes = map[string]driver.Code{
	"uniqueness":    driver.AlreadyExists,
	"invalidFilter": driver.Invalid,
	"invalidSyntax": driver.Invalid,
	"invalidPath":   driver.Invalid,
	"noTarget":      driver.Invalid,
	"invalidValue":  driver.Invalid,
	"invalidVers":   driver.Unsupported,
	"mutability":    driver.Invalid,
	"sensitive":     driver.Invalid,
	"tooMany":       driver.Invalid,
	"invalidCursor": driver.Conflict,
	"expiredCursor": driver.Conflict,
	"invalidCount":  driver.Invalid,
}

// Classify says what an error means. NotFound is only a 404 in SCIM's own form: a proxy, or a wrong path, answers 404
// in another.
func (d *Driver) Classify(err error) driver.Verdict {
	if verdict, ok := driver.Known(err); ok {
		return verdict
	}
	verdict := rest.Classify(err)
	var api *apiError
	if !errors.As(err, &api) {
		return verdict
	}
	if api.Status == http.StatusNotFound {
		verdict.Code = driver.NotFound
	}
	if code, ok := scimTypeCodes[api.ScimType]; ok && (api.Status == http.StatusBadRequest || api.Status == http.StatusConflict) {
		verdict.Code = code
	}
	return verdict
}

func (d *Driver) isNotFound(err error) bool {
	return err != nil && d.Classify(err).Code == driver.NotFound
}

// recode keeps what is not found beside the account from being read as "the account is not found": such an error gets the
// code instead, all others keep theirs.
func (d *Driver) recode(code driver.Code, err error) error {
	if err == nil {
		return nil
	}
	verdict := d.Classify(err)
	if verdict.Code == driver.NotFound {
		verdict.Code = code
	}
	return &driver.Error{Verdict: verdict, Err: err}
}

// believed returns err, which is about one resource, unless the service answers 404 for the whole collection, too: then
// it does not have that, or does not show it to this client, and nothing is known of the resource.
func (d *Driver) believed(ctx context.Context, collection string, err error) error {
	if !d.isNotFound(err) {
		return err
	}
	if whole := d.peek(ctx, collection); whole != nil {
		return d.recode(driver.Unknown, fmt.Errorf("%s cannot be read, so nothing in it is taken for absent: %w", collection, whole))
	}
	return err
}
