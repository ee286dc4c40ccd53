package ldap

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Flags of userAccountControl
// (https://learn.microsoft.com/windows/win32/adschema/a-useraccountcontrol).
const (
	uacDisabled       = 0x2
	uacNormal         = 0x200
	uacNeverExpires   = 0x10000 // of the password: its age is the business of rotations
	attrControl       = "userAccountControl"
	attrExpires       = "accountExpires"
	attrPasswordSet   = "pwdLastSet"
	attrUnicodePwd    = "unicodePwd"
	attrPrimaryGroup  = "primaryGroupID"
	attrMemberOf      = "memberOf"
	domainUsers       = 513
	neverExpires      = "9223372036854775807"
	allowedChildren   = "allowedChildClassesEffective"
	ticksPerMicro     = 10
	epochDifference   = 11644473600 // seconds between 1601 and 1970
	inChain           = "1.2.840.113556.1.4.1941"
	permissiveControl = "1.2.840.113556.1.4.1413"
)

// activeDirectory is the dialect of domain controllers.
type activeDirectory struct {
	config Config
	// rangeStep, if set, asks for values in steps as small as that. Tests set it.
	rangeStep int
}

func (d *activeDirectory) readFacts(s *session, rootDSE *goldap.Entry, f *facts) error {
	f.root = rootDSE.GetEqualFoldAttributeValue("defaultNamingContext")
	if f.root == "" {
		return fmt.Errorf("read the root DSE, which names no domain (is this Active Directory?): %w", errIncomplete)
	}
	if !isBelow(matchKey(d.config.BaseDN), matchKey(f.root)) {
		return driver.Errorf(driver.Invalid, "base_dn: %q is not in the domain %q", d.config.BaseDN, f.root)
	}
	f.version = "Active Directory, functional level " + rootDSE.GetEqualFoldAttributeValue("domainControllerFunctionality")
	if vendor := rootDSE.GetEqualFoldAttributeValue("vendorName"); vendor != "" {
		f.version += ", " + vendor
	}
	root, ok, err := s.entry(f.root, []string{"objectSid"})
	if err != nil {
		return err
	}
	if !ok || len(root.GetEqualFoldRawAttributeValue("objectSid")) == 0 {
		return fmt.Errorf("read the domain %q: %w", f.root, errIncomplete)
	}
	f.domainSID = root.GetEqualFoldRawAttributeValue("objectSid")
	f.dnsDomain = dnsDomain(f.root)
	return nil
}

// dnsDomain turns DC=example,DC=com into example.com.
func dnsDomain(dn string) string {
	var labels []string
	parsed, err := goldap.ParseDN(dn)
	if err != nil {
		return ""
	}
	for _, rdn := range parsed.RDNs {
		labels = append(labels, strings.ToLower(rdn.Attributes[0].Value))
	}
	return strings.Join(labels, ".")
}

func (d *activeDirectory) lacking(s *session, f *facts) ([]string, error) {
	base, ok, err := s.entry(f.baseDN, []string{allowedChildren})
	if err != nil || !ok {
		return nil, err
	}
	if slices.Contains(base.GetEqualFoldAttributeValues(allowedChildren), "user") {
		return nil, nil
	}
	return []string{fmt.Sprintf("%s may not create users below %s.", d.config.BindDN, f.baseDN)}, nil
}

func (d *activeDirectory) idAttribute() string { return "objectGUID" }

// id writes the GUID as Windows does: its first three groups are little-endian numbers.
func (d *activeDirectory) id(e *goldap.Entry) string {
	b := e.GetEqualFoldRawAttributeValue("objectGUID")
	if len(b) != 16 {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", []byte{b[3], b[2], b[1], b[0]}, []byte{b[5], b[4]}, []byte{b[7], b[6]}, b[8:10], b[10:])
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (d *activeDirectory) idFilter(id string) (string, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || !uuidPattern.MatchString(id) {
		return "", false
	}
	b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7] = b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]
	return "(objectGUID=" + escapedBytes(b) + ")", true
}

// escapedBytes writes bytes as a filter wants them (RFC 4515).
func escapedBytes(raw []byte) string {
	var out strings.Builder
	for _, b := range raw {
		fmt.Fprintf(&out, `\%02x`, b)
	}
	return out.String()
}

func (d *activeDirectory) nameAttribute() string { return "sAMAccountName" }

func (d *activeDirectory) name(e *goldap.Entry) string {
	return e.GetEqualFoldAttributeValue("sAMAccountName")
}

// accountFilter finds ordinary users, not computers and the accounts that a domain manages itself.
func (d *activeDirectory) accountFilter() string { return "(sAMAccountType=805306368)" }

func (d *activeDirectory) attributes() []string {
	return []string{
		"objectGUID", "sAMAccountName", "userPrincipalName", attrText, attrControl, attrExpires, attrPasswordSet, attrNote,
		attrPrimaryGroup, d.asked(attrMemberOf),
	}
}

// asked names an attribute in a request.
func (d *activeDirectory) asked(attribute string) string {
	if d.rangeStep == 0 {
		return attribute
	}
	return attribute + ";range=0-" + strconv.Itoa(d.rangeStep-1)
}

// strict is false: a domain refers to the naming contexts below it, which hold no accounts of its own.
func (d *activeDirectory) strict() bool { return false }

func control(e *goldap.Entry) int {
	n, _ := strconv.Atoi(e.GetEqualFoldAttributeValue(attrControl)) // It is a number by the schema.
	return n
}

func (d *activeDirectory) observe(e *goldap.Entry) nhi.Account {
	account := nhi.Account{
		Ref: nhi.Ref{Name: d.name(e), ID: d.id(e)}, Status: nhi.Active,
		Mark:      nhi.FindMark(e.GetEqualFoldAttributeValue(attrText)),
		ExpiresAt: fileTime(e.GetEqualFoldAttributeValue(attrExpires)),
	}
	if control(e)&uacDisabled != 0 {
		account.Status = nhi.Suspended
	}
	account.Credentials = credentials(e)
	return account
}

// fileTime reads a time in ticks of 100 ns since 1601; 0 and the largest number mean none.
func fileTime(text string) time.Time {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n == 0 || text == neverExpires {
		return time.Time{}
	}
	return time.UnixMicro(n/ticksPerMicro - epochDifference*1e6).UTC()
}

func toFileTime(t time.Time) string {
	if t.IsZero() {
		return neverExpires
	}
	return strconv.FormatInt((t.UnixMicro()+epochDifference*1e6)*ticksPerMicro, 10)
}

// create makes the account switched off, as a domain wants it without a password, then gives it a password that nobody
// knows and switches it on.
func (d *activeDirectory) create(s *session, f *facts, spec driver.AccountSpec) (string, error) {
	dn := "CN=" + escapeValue(spec.Name) + "," + f.baseDN
	r := goldap.NewAddRequest(dn, nil)
	r.Attribute("objectClass", []string{"user"})
	r.Attribute("sAMAccountName", []string{spec.Name})
	r.Attribute(attrControl, []string{strconv.Itoa(uacNormal | uacDisabled)})
	if !strings.Contains(spec.Name, " ") {
		r.Attribute("userPrincipalName", []string{spec.Name + "@" + f.dnsDomain})
	}
	if !spec.Mark.IsZero() {
		r.Attribute(attrText, []string{spec.Mark.String()})
	}
	if !spec.ExpiresAt.IsZero() {
		r.Attribute(attrExpires, []string{toFileTime(spec.ExpiresAt)})
	}
	if err := s.Add(r); err != nil {
		return "", fmt.Errorf("add %q: %w", dn, explained(err))
	}
	if err := d.equip(s, dn, spec.Suspended); err != nil {
		return "", undo(err, s.remove(dn))
	}
	return dn, nil
}

// equip gives a new account its password and switches it on.
func (d *activeDirectory) equip(s *session, dn string, suspended bool) error {
	e, ok, err := s.entry(dn, d.attributes())
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("read the new entry %q back: %w", dn, errIncomplete)
	}
	flags := uacNormal | uacNeverExpires
	if suspended {
		flags |= uacDisabled
	}
	old := e.GetEqualFoldAttributeValue(attrNote)
	return d.setPassword(s, e, old, newPassword(d.name(e)), nhi.Credential{}, replacing(attrControl, strconv.Itoa(flags)))
}

// changes replaces what it changes. Attributes that belong to the account database of Windows (the description among them)
// take nothing but replacement; a change that somebody else makes to the same attribute at the same moment can be lost.
func (d *activeDirectory) changes(e *goldap.Entry, c driver.AccountChange) ([]change, error) {
	var changes []change
	if c.Mark != nil {
		text := e.GetEqualFoldAttributeValue(attrText)
		changes = append(changes, replacing(attrText, nonEmpty(nhi.WithMark(text, *c.Mark))...))
	}
	if c.ExpiresAt != nil {
		changes = append(changes, replacing(attrExpires, toFileTime(*c.ExpiresAt)))
	}
	return changes, nil
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func (d *activeDirectory) suspend(s *session, _ *facts, e *goldap.Entry) error {
	return d.setControl(s, e, control(e)|uacDisabled)
}

// resume switches the account on. One that never got a password, because the run that made it was killed, gets one that
// nobody knows: without one a domain refuses.
func (d *activeDirectory) resume(s *session, _ *facts, e *goldap.Entry) error {
	if e.GetEqualFoldAttributeValue(attrPasswordSet) == "0" && control(e)&uacDisabled != 0 && len(credentials(e)) == 0 {
		return d.equip(s, e.DN, false)
	}
	return d.setControl(s, e, control(e)&^uacDisabled)
}

func (d *activeDirectory) setControl(s *session, e *goldap.Entry, flags int) error {
	if flags == control(e) {
		return nil
	}
	return s.modify(e.DN, replacing(attrControl, strconv.Itoa(flags)))
}
