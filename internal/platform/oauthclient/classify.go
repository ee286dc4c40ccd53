package oauthclient

import (
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// Classify says what an error means. Nothing that the server answers is NotFound: RFC 7592 has no answer that means
// absence alone.
func (d *Driver) Classify(err error) driver.Verdict { return rest.Classify(err) }
