package scim

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/internal/rest"
)

// features is what the service says it can do.
type features struct {
	patch, filter, etag bool
	paging              paging
	pageSize            int
}

type paging int

const (
	byIndex  paging = iota // startIndex and count (RFC 7644)
	byCursor               // cursor and nextCursor (RFC 9865)
	byID                   // startId and nextId (SAP)
)

// discover returns the features, which are read once. Every method begins with it: a service that cannot describe
// itself is not believed when it says that something does not exist.
func (d *Driver) discover(ctx context.Context) (features, error) {
	f, err := d.features.Get(ctx, func(features) bool { return true }, d.readFeatures)
	f.patch = f.patch && !d.noPatch.Load()
	return f, err
}

type supported struct {
	Supported *bool `json:"supported"`
}

func (s supported) yes() bool { return s.Supported != nil && *s.Supported }

type serviceProviderConfig struct {
	Schemas    []string  `json:"schemas"`
	Patch      supported `json:"patch"`
	Filter     supported `json:"filter"`
	ETag       supported `json:"etag"`
	Pagination *struct {
		Cursor  bool   `json:"cursor"`
		Index   bool   `json:"index"`
		Default string `json:"defaultPaginationMethod"`
		MaxSize int    `json:"maxPageSize"`
	} `json:"pagination"`
}

func (d *Driver) readFeatures(ctx context.Context) (features, error) {
	var c serviceProviderConfig
	_, err := d.call(ctx, rest.Request{Method: http.MethodGet, Path: configPath}, &c)
	switch {
	case d.isSAP() && isStatus(err, http.StatusNotFound, http.StatusNotImplemented):
		return d.sapFeatures(ctx)
	case isStatus(err, http.StatusNotFound):
		return features{}, driver.Errorf(driver.Unknown,
			"%s has no %s, so it is not the base URL of a SCIM service: %w", d.rest.BaseURL(), configPath, err)
	case err != nil:
		return features{}, err
	case !hasSchema(c.Schemas, configSchema) || c.Patch.Supported == nil || c.Filter.Supported == nil:
		return features{}, driver.Errorf(driver.Unknown,
			"the answer to %s%s is not a SCIM service provider configuration", d.rest.BaseURL(), configPath)
	}
	f := features{patch: c.Patch.yes(), filter: c.Filter.yes(), etag: c.ETag.yes(), pageSize: d.config.PageSize}
	if p := c.Pagination; p != nil {
		if p.Cursor && (!p.Index || strings.EqualFold(p.Default, "cursor")) {
			f.paging = byCursor
		}
		if p.MaxSize > 0 {
			f.pageSize = min(f.pageSize, p.MaxSize)
		}
	}
	if d.isSAP() {
		f.paging, f.pageSize = byID, min(f.pageSize, sapPageLimit)
	}
	return f, nil
}

// sapFeatures is for tenants without a service provider configuration: what the product documents, once the schemas
// have shown that the product answers.
func (d *Driver) sapFeatures(ctx context.Context) (features, error) {
	var list struct {
		Schemas   []string `json:"schemas"`
		Resources []struct {
			ID string `json:"id"`
		} `json:"Resources"`
	}
	if _, err := d.call(ctx, rest.Request{Method: http.MethodGet, Path: schemasPath}, &list); err != nil {
		return features{}, d.recode(driver.Unknown, err)
	}
	core := false
	for _, schema := range list.Resources {
		core = core || strings.EqualFold(schema.ID, userSchema)
	}
	if !hasSchema(list.Schemas, listSchema) || !core {
		return features{}, driver.Errorf(driver.Unknown, "the answer to %s%s lists no SCIM schemas", d.rest.BaseURL(), schemasPath)
	}
	return features{patch: true, filter: true, paging: byID, pageSize: min(d.config.PageSize, sapPageLimit)}, nil
}

// Probe says which service answers. SCIM has no identifier of a service, so the base URL stands for it; for SAP the
// tenant's host does.
func (d *Driver) Probe(ctx context.Context) (driver.Target, error) {
	f, err := d.discover(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	// The configuration may be public. Reading users is what needs the credentials.
	if err := d.peek(ctx, usersPath); err != nil {
		return driver.Target{}, err
	}
	target := driver.Target{ID: d.targetID(), Version: "2.0"}
	err = d.peek(ctx, groupsPath)
	switch {
	case isStatus(err, http.StatusForbidden, http.StatusNotFound, http.StatusNotImplemented) && d.Classify(err).Code != driver.RateLimited:
		target.Blind = append(target.Blind, "Groups cannot be read, so group memberships cannot be managed.")
	case err != nil:
		return driver.Target{}, err
	}
	if !f.patch && !f.etag {
		target.Blind = append(target.Blind,
			"The service has neither PATCH nor ETags: changes that others make at the same moment can be lost.")
	}
	return target, nil
}

// peek asks for the smallest list.
func (d *Driver) peek(ctx context.Context, path string) error {
	var list listResponse
	query := url.Values{"count": {strconv.Itoa(1)}}
	if _, err := d.call(ctx, rest.Request{Method: http.MethodGet, Path: path, Query: query}, &list); err != nil {
		return err
	}
	return list.check()
}

func (d *Driver) targetID() string {
	u := d.rest.BaseURL()
	host := strings.ToLower(u.Hostname())
	if port := u.Port(); port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80") {
		host += ":" + port
	}
	if d.isSAP() {
		return "scim:sap:" + host
	}
	return "scim:" + strings.ToLower(u.Scheme) + "://" + host + u.EscapedPath()
}
