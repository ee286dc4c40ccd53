package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework-timetypes/timetypes"
	"github.com/hashicorp/terraform-plugin-framework-validators/int64validator"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/tfsdk"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/fleet"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// kinds is the explicit list of platform kinds. A new kind adds one line here and one file platform_<kind>.go. The
// schemas in it are made once and never changed.
var kinds = sync.OnceValue(func() []kind {
	return []kind{
		awsKind(),
		jiraKind(),
		kubernetesKind(),
		ldapKind(),
		mysqlKind(),
		oauthClientKind(),
		postgresqlKind(),
		redmineKind(),
		sandboxKind(),
		sapBTPKind(),
		scimKind(),
		vaultKind(),
	}
})

// kind is one kind of platform as HCL sees it.
type kind struct {
	spec        driver.Spec
	description string
	attributes  map[string]schema.Attribute
	subblocks   map[string]schema.Block
	// settings are the attributes of the kind's sub-block in nhi_identity's account block: string, int64 or bool, all
	// optional, named as in spec.Settings. Nil: the kind has none.
	settings map[string]resourceschema.Attribute
	// open decodes a wholly known block and returns how to open its driver. Problems go to b.
	open func(ctx context.Context, b *blockReader) func() (driver.Driver, error)
}

// commonPlatform holds the attributes that every platform block has. Models of kinds embed it.
type commonPlatform struct {
	Name              types.String         `tfsdk:"name"`
	Timeout           timetypes.GoDuration `tfsdk:"timeout"`
	RequestsPerMinute types.Int64          `tfsdk:"requests_per_minute"`
	MaxConcurrency    types.Int64          `tfsdk:"max_concurrency"`
	PreviousTargets   types.Set            `tfsdk:"previous_targets"`
}

func commonAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"name": schema.StringAttribute{
			Required: true,
			MarkdownDescription: "The name by which identities, grants and rotations refer to this platform. Renaming it means " +
				"another platform to them.",
		},
		"timeout": schema.StringAttribute{
			Optional: true, CustomType: timetypes.GoDurationType{},
			MarkdownDescription: "How long one call may take, for example `45s`. Default `30s`; reading all accounts in bulk may take " +
				"twenty times as long.",
		},
		"requests_per_minute": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.AtLeast(1)},
			MarkdownDescription: "Upper bound for the rate of operations sent to this platform. Default: no bound beyond what the " +
				"platform itself asks for.",
		},
		"max_concurrency": schema.Int64Attribute{
			Optional: true, Validators: []validator.Int64{int64validator.Between(1, 1000)},
			MarkdownDescription: "Upper bound for operations under way at once, whatever Terraform's `-parallelism`. Default 10.",
		},
		"previous_targets": schema.SetAttribute{
			Optional: true, ElementType: types.StringType,
			MarkdownDescription: "Ids of targets (as shown in `accounts[…].target`) that are this same system from before a migration. " +
				"Without it, a platform name that reaches another system than the one in state is an error.",
		},
	}
}

// platformBlocks is the provider schema's part for all kinds.
func platformBlocks() map[string]schema.Block {
	blocks := make(map[string]schema.Block)
	for _, k := range kinds() {
		attributes := commonAttributes()
		maps.Copy(attributes, k.attributes)
		blocks[k.spec.Kind] = schema.ListNestedBlock{
			MarkdownDescription: k.description,
			NestedObject:        schema.NestedBlockObject{Attributes: attributes, Blocks: k.subblocks},
		}
	}
	return blocks
}

// platformBlock is one block of the configuration, not yet decoded.
type platformBlock struct {
	path   path.Path
	object types.Object
	name   types.String
}

// blocks lists the configuration's blocks of this kind.
func (k kind) blocks(ctx context.Context, config tfsdk.Config, diags *diag.Diagnostics) []platformBlock {
	return blocksAt(ctx, config, path.Root(k.spec.Kind), diags)
}

// blocksAt lists the blocks in a list of them.
func blocksAt(ctx context.Context, config tfsdk.Config, at path.Path, diags *diag.Diagnostics) []platformBlock {
	var list types.List
	diags.Append(config.GetAttribute(ctx, at, &list)...)
	var out []platformBlock
	for i, element := range list.Elements() {
		object, ok := element.(types.Object)
		if !ok || object.IsNull() || object.IsUnknown() {
			continue
		}
		name, _ := object.Attributes()["name"].(types.String)
		out = append(out, platformBlock{path: at.AtListIndex(i), object: object, name: name})
	}
	return out
}

// config turns a block into what the fleet needs. A block that holds an unknown value gives a platform that cannot be
// opened yet.
func (k kind) config(ctx context.Context, b platformBlock, later *fleetLater, diags *diag.Diagnostics) fleet.Config {
	config := fleet.Config{Name: b.name.ValueString(), Spec: k.spec}
	if !whollyKnown(ctx, b.object) {
		return config
	}
	attributes := b.object.Attributes()
	if d, ok := attributes["timeout"].(timetypes.GoDuration); ok && known(d) {
		value, more := d.ValueGoDuration()
		diags.Append(more...)
		config.Options.Timeout = value
	}
	if n, ok := attributes["requests_per_minute"].(types.Int64); ok {
		config.Options.RequestsPerMinute = n.ValueInt64()
	}
	if n, ok := attributes["max_concurrency"].(types.Int64); ok {
		config.Options.MaxConcurrency = n.ValueInt64()
	}
	if set, ok := attributes["previous_targets"].(types.Set); ok {
		config.PreviousTargets = knownStrings(set.Elements())
	}
	reader := &blockReader{
		platformBlock: b, what: "platform", environment: b.name.ValueString(), spec: k.spec, later: later, diags: diags,
	}
	config.Open = k.open(ctx, reader)
	config.Spec, config.Secrets = reader.spec, reader.secrets
	return config
}

func whollyKnown(ctx context.Context, v attr.Value) bool {
	raw, err := v.ToTerraformValue(ctx)
	return err == nil && raw.IsFullyKnown()
}

// blockReader decodes one wholly known block of a platform or an audit sink and collects its secrets and problems.
type blockReader struct {
	platformBlock
	// what is "platform" or "audit sink", and environment stands for NAME in the variables NHI_<NAME>_<ATTRIBUTE>.
	what, environment string
	// spec starts as the kind's; a dialect may refine it. Audit sinks have none.
	spec driver.Spec
	// later gives kinds that need another platform the way to it.
	later   *fleetLater
	diags   *diag.Diagnostics
	secrets []secret.Value
}

// decode fills a kind's model.
func (b *blockReader) decode(ctx context.Context, model any) {
	b.diags.Append(b.object.As(ctx, model, basetypes.ObjectAsOptions{})...)
}

// fail reports a problem with one attribute of the block.
func (b *blockReader) fail(attribute, summary string, err error) {
	addErrorAt(b.diags, b.path.AtName(attribute), summary, err)
}

// secret returns a secret setting: from the attribute itself, from the file that <attribute>_file names, or from the
// environment variable NHI_<NAME>_<ATTRIBUTE>, in this order. It returns the zero Value if there is none of them.
func (b *blockReader) secret(attribute string, value, file types.String) secret.Value {
	var found secret.Value
	switch {
	case value.ValueString() != "":
		found = secret.New(value.ValueString())
	case file.ValueString() != "":
		text, err := readSecret(file.ValueString())
		if err != nil {
			b.fail(attribute+"_file", "Unreadable file", err)
			return secret.Value{}
		}
		found = secret.New(strings.TrimRight(text, "\r\n"))
	default:
		found = secret.New(os.Getenv(environmentName(b.environment, attribute)))
	}
	b.secrets = append(b.secrets, found)
	return found
}

// maxSecret is more than any secret has bytes: a file that is larger is another one, or has no end.
const maxSecret = 64 << 10

// readSecret returns what a file holds.
func readSecret(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // It is only read.
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err == nil && len(text) > maxSecret {
		err = fmt.Errorf("%s holds more than %d bytes, so it is no secret: name the right file", name, maxSecret)
	}
	return string(text), err
}

// requireSecret is secret with an error that tells all the ways to give one.
func (b *blockReader) requireSecret(attribute string, value, file types.String) secret.Value {
	found := b.secret(attribute, value, file)
	if found.IsZero() && !b.diags.HasError() {
		b.fail(attribute, "Missing "+attribute, fmt.Errorf("%s %q needs its %s: set the environment variable %s, or %s_file, or %s "+
			"(best with an ephemeral value)", b.what, b.name.ValueString(), attribute, environmentName(b.environment, attribute), attribute, attribute))
	}
	return found
}

// settingsOf turns the kind's sub-block of an account into settings: only those that are set.
func (k kind) settingsOf(object types.Object) map[string]string {
	settings := make(map[string]string)
	for name, value := range object.Attributes() {
		if text, ok := settingText(value); ok {
			settings[name] = text
		}
	}
	return settings
}

// settingText is the canonical text of a setting, which the drivers use.
func settingText(value attr.Value) (string, bool) {
	if value.IsNull() || value.IsUnknown() {
		return "", false
	}
	switch v := value.(type) {
	case types.String:
		return v.ValueString(), true
	case types.Int64:
		return strconv.FormatInt(v.ValueInt64(), 10), true
	case types.Bool:
		return strconv.FormatBool(v.ValueBool()), true
	default:
		return "", false
	}
}

// settingValue is the reverse of settingText: the observed text as a value of the same type as like.
func settingValue(like attr.Value, text string) attr.Value {
	switch like.(type) {
	case types.Int64:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return types.Int64Value(n)
		}
	case types.Bool:
		if v, err := strconv.ParseBool(text); err == nil {
			return types.BoolValue(v)
		}
	case types.String:
		return types.StringValue(text)
	}
	return like
}

// checkURL refuses what is no absolute http(s) URL, one that carries credentials, and plain HTTP to anything but this
// machine unless it is allowed. The errors do not repeat the text: a password may stand anywhere in it if it is written wrongly.
func (b *blockReader) checkURL(attribute, text string, allowPlain bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		b.fail(attribute, "Invalid address", errors.New("this is not an absolute URL such as https://host.example:443/path"))
		return
	}
	if u.User != nil {
		b.fail(attribute, "Credentials in an address", errors.New("the URL holds a user name or password; use the attributes for them"))
	}
	if u.Scheme == "http" && !transport.IsLoopback(u.Hostname()) && !allowPlain {
		b.fail(attribute, "Insecure address", errors.New("plain http sends credentials readable over the network; use https, or set "+
			"allow_plain_http = true if the connection is protected otherwise"))
	}
}

// kindsWithSettings lists the kinds that have an account sub-block, by name.
func kindsWithSettings() map[string]kind {
	out := make(map[string]kind)
	for _, k := range kinds() {
		if len(k.settings) > 0 {
			out[k.spec.Kind] = k
		}
	}
	return out
}

// examplesOf lists one example per entitlement type, for descriptions.
func examplesOf(g nhi.Grammar) string {
	var out []string
	for _, t := range g.Types {
		if t.Observed == "" {
			out = append(out, "`"+t.Example+"`")
		}
	}
	return strings.Join(slices.Compact(out), ", ")
}
