// Package ocsf writes audit events in the Open Cybersecurity Schema Framework, and reads them back.
//
// Source: the schema at https://github.com/ocsf/ocsf-schema.
package ocsf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

const (
	// ProductName is metadata.product.name of every event, VendorName its vendor.
	ProductName = "terraform-provider-nhi"
	VendorName  = "nhi-labs"

	// longest is how many bytes of one text are written. Names and ids are far shorter; what a platform says of an error
	// may not be.
	longest = 2 << 10
)

// Encode writes e as one JSON object on one line of printable ASCII: whatever a value holds, it cannot begin another line,
// another field, or another message. Texts longer than 2 KiB are cut. It fails only for a version that there is not.
func Encode(v Version, e audit.Event) ([]byte, error) {
	if v != V180 && v != V190 {
		return nil, fmt.Errorf("no OCSF version %q", v)
	}
	text, err := json.Marshal(build(v, e))
	if err != nil {
		return nil, err
	}
	return printable(text), nil
}

func build(v Version, e audit.Event) event {
	form := formOf(v, e)
	out := event{
		ActivityID: form.Activity, ActivityName: form.Name,
		CategoryUID: categoryUID, CategoryName: categoryName,
		ClassUID: form.Class.UID, ClassName: form.Class.Name,
		TypeUID: form.Class.UID*100 + form.Activity, TypeName: form.Class.Name + ": " + form.Name,
		StatusDetail: cut(e.Error), Time: e.Time.UnixMilli(), Message: message(e),
		Metadata: metadata{
			Version: string(v), UID: cut(e.ID), CorrelationUID: cut(e.Correlation), EventCode: string(e.Activity),
			Product: product{ProductName, VendorName, cut(e.Version)},
		},
		Actor: actor{User: user{Name: cut(e.Actor.Name)}, AppName: cut(e.Actor.System)},
		User: user{
			Name: cut(e.Account.Name), UID: cut(e.Account.ID), FullName: cut(e.Identity.Name), Domain: cut(e.Platform.Name),
			TypeID: serviceUser, Type: "Service",
		},
		Unmapped: unmappedOf(e),
	}
	if e.Credential != "" {
		out.User.ProgrammaticCredentials = []programmaticCredential{{UID: cut(e.Credential)}}
	}
	out.SeverityID, out.Severity, out.StatusID, out.Status = result(e.Outcome)
	if e.Actor.Host != "" {
		out.SrcEndpoint = endpointOf(cut(e.Actor.Host))
	}
	if name, ok := group(e); ok {
		out.Group = &groupObject{Name: cut(name), Domain: cut(e.Platform.Name)}
	} else if form.Class == userAccess || len(changed(e)) > 0 {
		out.Privileges = append([]string{}, cutAll(changed(e))...)
	}
	if form.Class == userAccess || form.Class == userManagement {
		out.Resources = []resource{{Name: cut(e.Platform.Name), UID: cut(e.Platform.Target), Type: cut(e.Platform.Kind)}}
	}
	return out
}

// hostname is what the schema takes for a name of the DNS.
var hostname = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$`)

// endpointOf writes the name of a machine, which need not be one of the DNS.
func endpointOf(name string) *endpoint {
	if hostname.MatchString(name) {
		return &endpoint{Hostname: name}
	}
	return &endpoint{Name: name}
}

// serviceUser is the schema's type of users that are no people.
const serviceUser = 4

// result writes an outcome. An intention is neither a success nor a failure: the schema's "Other", under our name.
func result(o audit.Outcome) (severityID int, severity string, statusID int, status string) {
	switch o {
	case audit.Succeeded:
		return 1, "Informational", 1, "Success"
	case audit.Failed:
		return 3, "Medium", 2, "Failure"
	case audit.Unknown:
		return 3, "Medium", unknown, "Unknown"
	case audit.Intended:
		return 1, "Informational", other, "Intended"
	default:
		return 1, "Informational", other, cut(string(o))
	}
}

func unmappedOf(e audit.Event) unmapped {
	return unmapped{
		Activity: string(e.Activity), Outcome: string(e.Outcome), Change: cut(e.Change), Stack: cut(e.Stack),
		Identity:           identity{cut(e.Identity.Name), cut(e.Identity.Kind), cut(e.Identity.Owner)},
		Platform:           platform{cut(e.Platform.Name), cut(e.Platform.Kind), cut(e.Platform.Target)},
		RunURL:             cut(e.Actor.RunURL),
		EntitlementsBefore: cutAll(e.Before), EntitlementsAfter: cutAll(e.After),
		Credential: cut(e.Credential), Path: cut(e.Path), RegistryOf: cut(e.RegistryOf), Justification: cut(e.Justification),
		Resource: cut(e.Resource),
	}
}

// message is the event in words, for people.
func message(e audit.Event) string {
	return cut(fmt.Sprintf("%s %s: account %q of identity %q on platform %q",
		strings.ReplaceAll(string(e.Activity), "_", " "), e.Outcome, e.Account.Name, e.Identity.Name, e.Platform.Name))
}

// cut shortens a text and says so.
func cut(text string) string {
	if len(text) <= longest {
		return text
	}
	end := longest
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes left out)", text[:end], len(text)-end)
}

func cutAll(texts []string) []string {
	var out []string
	for _, text := range texts {
		out = append(out, cut(text))
	}
	return out
}

// printable escapes what encoding/json leaves as it is although a terminal or a log viewer might obey it (controls beyond
// ASCII, marks that reorder text), and with it every letter beyond ASCII. The JSON means the same.
func printable(text []byte) []byte {
	if !slices.ContainsFunc(text, func(b byte) bool { return b < ' ' || b > '~' }) {
		return text
	}
	var out bytes.Buffer
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r >= ' ' && r <= '~':
			out.WriteByte(text[0])
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
		text = text[size:]
	}
	return out.Bytes()
}

// Decode reads an event that Encode wrote, in either version; Time has milliseconds. It fails for what another product wrote.
func Decode(text []byte) (audit.Event, error) {
	var in event
	if err := json.Unmarshal(text, &in); err != nil {
		return audit.Event{}, fmt.Errorf("no OCSF event: %w", err)
	}
	if in.Metadata.Product.Name != ProductName {
		return audit.Event{}, fmt.Errorf("an event of the product %q, not of %s", in.Metadata.Product.Name, ProductName)
	}
	extra := in.Unmapped
	out := audit.Event{
		ID: in.Metadata.UID, Change: extra.Change, Correlation: in.Metadata.CorrelationUID, Time: time.UnixMilli(in.Time).UTC(),
		Activity: audit.Activity(extra.Activity), Outcome: audit.Outcome(extra.Outcome), Error: in.StatusDetail,
		Actor:    audit.Actor{Name: in.Actor.User.Name, System: in.Actor.AppName, RunURL: extra.RunURL},
		Stack:    extra.Stack,
		Identity: audit.Identity(extra.Identity),
		Account:  audit.Account{Name: in.User.Name, ID: in.User.UID},
		Platform: audit.Platform(extra.Platform),
		Before:   extra.EntitlementsBefore, After: extra.EntitlementsAfter,
		Credential: extra.Credential, Path: extra.Path, RegistryOf: extra.RegistryOf, Justification: extra.Justification,
		Resource: extra.Resource,
		Version:  in.Metadata.Product.Version,
	}
	if in.SrcEndpoint != nil {
		out.Actor.Host = in.SrcEndpoint.Hostname + in.SrcEndpoint.Name
	}
	return out, nil
}
