package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/terraform-plugin-framework-timeouts/resource/timeouts"
	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/rotation"
)

// defaultOverlap is the overlap of a rotation that names none.
const defaultOverlap = 24 * time.Hour

type rotationModel struct {
	Identity          types.Object         `tfsdk:"identity"`
	Platform          types.String         `tfsdk:"platform"`
	RotateEvery       timetypes.GoDuration `tfsdk:"rotate_every"`
	Overlap           timetypes.GoDuration `tfsdk:"overlap"`
	RotateWhenChanged types.Map            `tfsdk:"rotate_when_changed"`
	AllowOutage       types.Bool           `tfsdk:"allow_outage"`
	Verify            types.Bool           `tfsdk:"verify"`
	RequireUse        types.Bool           `tfsdk:"require_use_before_retire"`
	Deliver           types.List           `tfsdk:"deliver"`
	Current           types.String         `tfsdk:"current"`
	RotatesAt         types.String         `tfsdk:"rotates_at"`
	Credentials       types.List           `tfsdk:"credentials"`
	Delivered         types.List           `tfsdk:"delivered"`
	Unmanaged         types.List           `tfsdk:"unmanaged"`
	Targets           types.Map            `tfsdk:"targets"`
	Pending           types.List           `tfsdk:"pending"`
	Undelivered       types.List           `tfsdk:"undelivered"`
	Timeouts          timeouts.Value       `tfsdk:"timeouts"`
}

func (m rotationModel) identityName() types.String {
	name, _ := m.Identity.Attributes()["name"].(types.String)
	return name
}

func (m rotationModel) thing() thing {
	return rotationThing(m.identityName().ValueString(), m.Platform.ValueString())
}

// durationOf returns a duration, 0 if there is none.
func durationOf(value timetypes.GoDuration) time.Duration {
	if !known(value) {
		return 0
	}
	d, _ := value.ValueGoDuration()
	return d
}

func (m rotationModel) overlap() time.Duration {
	if m.Overlap.IsNull() {
		return defaultOverlap
	}
	return durationOf(m.Overlap)
}

// deliverBlock is one deliver block as it is written.
type deliverBlock struct {
	at             path.Path
	platform, path types.String
	fields         types.Map
}

func (m rotationModel) deliverBlocks() []deliverBlock {
	var out []deliverBlock
	for i, element := range m.Deliver.Elements() {
		object, ok := element.(types.Object)
		if !ok {
			continue
		}
		b := deliverBlock{at: path.Root("deliver").AtListIndex(i)}
		b.platform, _ = object.Attributes()["platform"].(types.String)
		b.path, _ = object.Attributes()["path"].(types.String)
		b.fields, _ = object.Attributes()["fields"].(types.Map)
		out = append(out, b)
	}
	return out
}

func (b deliverBlock) place() lifecycle.Place {
	return lifecycle.Place{Platform: b.platform.ValueString(), Path: b.path.ValueString()}
}

// templates parses the block's fields. Problems go to diags.
func (b deliverBlock) templates(diags *diag.Diagnostics) map[string]lifecycle.Template {
	if b.fields.IsNull() {
		return lifecycle.DefaultFields()
	}
	out, hasSecret, complete := make(map[string]lifecycle.Template), false, !b.fields.IsUnknown()
	for name, value := range b.fields.Elements() {
		text, ok := value.(types.String)
		if !ok || !known(text) {
			complete = complete && ok && !text.IsUnknown()
			continue
		}
		at := b.at.AtName("fields").AtMapKey(name)
		if name == lifecycle.NoteField || name == "" {
			diags.AddAttributeError(at, "Reserved field", fmt.Sprintf("%q cannot be the name of a field: the provider writes a field %q itself.",
				name, lifecycle.NoteField))
		}
		t, err := lifecycle.ParseTemplate(text.ValueString())
		addErrorAt(diags, at, "Invalid template", err)
		hasSecret = hasSecret || err != nil || t.HasSecret()
		out[name] = t
	}
	if complete && !hasSecret {
		diags.AddAttributeError(b.at.AtName("fields"), "Nothing to deliver", "None of the fields contains {{secret}} or {{secret_urlencoded}}, "+
			"so nobody could log in with what is delivered. Add a field that does, or leave fields out for the default: login and secret.")
	}
	return out
}

// wish is the model in the words of package lifecycle.
func (m rotationModel) wish(diags *diag.Diagnostics) lifecycle.Rotation {
	names, _ := m.Identity.Attributes()["account_names"].(types.Map)
	r := lifecycle.Rotation{
		Identity: m.identityName().ValueString(), AccountNames: mapOfStrings(names), Platform: m.Platform.ValueString(),
		Every: durationOf(m.RotateEvery), Overlap: m.overlap(), AllowOutage: m.AllowOutage.ValueBool(), Verify: m.Verify.ValueBool(),
		RequireUse: m.RequireUse.ValueBool(),
	}
	for _, b := range m.deliverBlocks() {
		r.Deliveries = append(r.Deliveries, lifecycle.Delivery{Place: b.place(), Fields: b.templates(diags)})
	}
	return r
}

// withoutRetired leaves out the stores that were switched off for good.
func withoutRetired(f *fleet.Fleet, deliveries []lifecycle.Delivery) []lifecycle.Delivery {
	return slices.DeleteFunc(slices.Clone(deliveries), func(d lifecycle.Delivery) bool { return f.Retired(d.Platform) })
}

func impossible(problems lifecycle.Problems) bool {
	return len(problems) == 1 && errors.Is(problems[0].Err, lifecycle.ErrRotationImpossible)
}

func credentialIDs(credentials []nhi.Credential) []string {
	var ids []string
	for _, c := range credentials {
		ids = append(ids, c.ID)
	}
	return ids
}

// shown says which credentials a plan from this state names for revocation: the unmanaged ones, the previous ones with the end of
// their overlap, and of the others those that stand in pending, which every plan of an update shows.
func (m rotationModel) shown() func(id string) bool {
	ids, pending := knownStrings(m.Unmanaged.Elements()), knownStrings(m.Pending.Elements())
	for _, c := range m.record().Credentials {
		if c.Stage == rotation.Previous && !c.RetireAt.IsZero() || rotation.Named(c, pending) {
			ids = append(ids, c.ID)
		}
	}
	return func(id string) bool { return slices.Contains(ids, id) }
}

// creationFailed stands in pending of a rotation whose creation has failed, and that is in state only because something could not be
// taken back, or because events wait. Terraform calls it tainted: the next apply deletes it and makes it again. That deletion gets
// no private state, so this text decides.
const creationFailed = "replace: creating the rotation failed; what it had issued goes first, and nothing else"

// own reports of a credential whether the creation that failed has issued it. It is nil if none has failed: then all are the rotation's.
func (m rotationModel) own() func(id string) bool {
	if !slices.Contains(knownStrings(m.Pending.Elements()), creationFailed) {
		return nil
	}
	return m.record().Credentials.Has
}

func credentialType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"label": types.StringType, "id": types.StringType, "stage": types.StringType, "issued_at": types.StringType,
		"promoted_at": types.StringType, "retire_at": types.StringType, "used_at_promotion": types.StringType,
	}}
}

func placeType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{"platform": types.StringType, "path": types.StringType}}
}

func timeValue(t time.Time) types.String {
	if t.IsZero() {
		return types.StringNull()
	}
	return types.StringValue(t.UTC().Format(time.RFC3339Nano))
}

func valueTime(v attr.Value) time.Time {
	text, ok := v.(types.String)
	if !ok || !known(text) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, text.ValueString())
	if err != nil {
		return time.Time{}
	}
	return t
}

// checkRecord reports what state says of credentials and cannot be: read as something else, one of them would be retired
// before its time.
func (m rotationModel) checkRecord(diags *diag.Diagnostics) {
	for i, element := range m.Credentials.Elements() {
		object, _ := element.(types.Object)
		for name, value := range object.Attributes() {
			text := stringOf(value)
			var err error
			switch name {
			case "stage":
				if !slices.Contains(rotation.Stages(), rotation.Stage(text)) {
					err = fmt.Errorf("%q is no stage of a credential", text)
				}
			case "issued_at", "promoted_at", "retire_at", "used_at_promotion":
				if text != "" {
					_, err = time.Parse(time.RFC3339Nano, text)
				}
			}
			addErrorAt(diags, path.Root("credentials").AtListIndex(i).AtName(name), "Damaged state", err)
		}
	}
}

// record reads what state keeps.
func (m rotationModel) record() lifecycle.RotationRecord {
	record := lifecycle.RotationRecord{Targets: mapOfStrings(m.Targets)}
	for _, element := range m.Credentials.Elements() {
		object, ok := element.(types.Object)
		if !ok {
			continue
		}
		a := object.Attributes()
		record.Credentials = append(record.Credentials, rotation.Credential{
			ID: stringOf(a["id"]), Label: stringOf(a["label"]), Stage: rotation.Stage(stringOf(a["stage"])),
			IssuedAt: valueTime(a["issued_at"]), PromotedAt: valueTime(a["promoted_at"]), RetireAt: valueTime(a["retire_at"]),
			UsedAtPromotion: valueTime(a["used_at_promotion"]),
		})
	}
	for _, element := range m.Delivered.Elements() {
		if object, ok := element.(types.Object); ok {
			a := object.Attributes()
			record.Delivered = append(record.Delivered, lifecycle.Place{Platform: stringOf(a["platform"]), Path: stringOf(a["path"])})
		}
	}
	return record
}

func stringOf(v attr.Value) string {
	text, _ := v.(types.String)
	return text.ValueString()
}

// setRecord sets everything that follows from the record.
func (m *rotationModel) setRecord(record lifecycle.RotationRecord) {
	credentials := make([]attr.Value, 0, len(record.Credentials))
	for _, c := range record.Credentials {
		credentials = append(credentials, types.ObjectValueMust(credentialType().AttrTypes, map[string]attr.Value{
			"label": types.StringValue(c.Label), "id": types.StringValue(c.ID), "stage": types.StringValue(string(c.Stage)),
			"issued_at": timeValue(c.IssuedAt), "promoted_at": timeValue(c.PromotedAt), "retire_at": timeValue(c.RetireAt),
			"used_at_promotion": timeValue(c.UsedAtPromotion),
		}))
	}
	m.Credentials = types.ListValueMust(credentialType(), credentials)
	m.Delivered = placesValue(record.Delivered)
	m.Targets = stringMap(record.Targets)
	current, ok := record.Credentials.Current()
	m.Current = types.StringNull()
	if ok {
		m.Current = types.StringValue(current.Label)
	}
	m.RotatesAt = m.rotatesAt(record.Credentials)
}

// rotatesAt is when the next rotation is due.
func (m rotationModel) rotatesAt(record rotation.Record) types.String {
	current, ok := record.Current()
	if every := durationOf(m.RotateEvery); ok && every > 0 {
		return timeValue(current.IssuedAt.Add(every))
	}
	return types.StringNull()
}

// places are the declared ones, as delivered shows them.
func (m rotationModel) places() types.List {
	var places []lifecycle.Place
	for _, b := range m.deliverBlocks() {
		places = append(places, b.place())
	}
	return placesValue(places)
}

func placesValue(places []lifecycle.Place) types.List {
	sorted := slices.Clone(places)
	slices.SortFunc(sorted, func(a, b lifecycle.Place) int {
		return cmp.Or(cmp.Compare(a.Platform, b.Platform), cmp.Compare(a.Path, b.Path))
	})
	values := make([]attr.Value, 0, len(sorted))
	for _, p := range slices.Compact(sorted) {
		values = append(values, types.ObjectValueMust(placeType().AttrTypes, map[string]attr.Value{
			"platform": types.StringValue(p.Platform), "path": types.StringValue(p.Path),
		}))
	}
	return types.ListValueMust(placeType(), values)
}

func (m rotationModel) identify(ctx context.Context, identity *tfsdk.ResourceIdentity) diag.Diagnostics {
	diags := identity.SetAttribute(ctx, path.Root("identity"), m.identityName())
	diags.Append(identity.SetAttribute(ctx, path.Root("platform"), m.Platform)...)
	return diags
}

// operation is what the evidence of an operation on the rotation says of it.
func (m rotationModel) operation() audit.Operation {
	return audit.NewOperation("nhi_rotation", audit.Identity{Name: m.identityName().ValueString()}, "")
}

// warnWaits says that an apply which succeeded did not do what was declared or due.
func (m rotationModel) warnWaits(record lifecycle.RotationRecord, diags *diag.Diagnostics) {
	if record.Waits != "" {
		diags.AddWarning(fmt.Sprintf("Rotation of %q on platform %q was put off", m.identityName().ValueString(), m.Platform.ValueString()),
			record.Waits)
	}
}

// report turns problems into diagnostics.
func (m rotationModel) report(verb string, problems lifecycle.Problems, diags *diag.Diagnostics) {
	for _, p := range problems {
		at := path.Root("platform")
		if p.Platform != m.Platform.ValueString() {
			at = path.Root("deliver")
		}
		detail := p.Err.Error()
		switch verb {
		case "create":
		case "update":
			if m.AllowOutage.ValueBool() {
				detail += "\n\nRun again to go on from here."
				break
			}
			detail += "\n\nNo caller is affected: the credential that they use stays valid. Run again to go on from here."
		default:
			detail += advice(verb)
		}
		diags.AddAttributeError(at, fmt.Sprintf("Unable to %s the rotation of %q on platform %q", verb,
			m.identityName().ValueString(), m.Platform.ValueString()), detail)
	}
}
