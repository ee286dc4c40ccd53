package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral/schema"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/lifecycle"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

var (
	_ ephemeral.EphemeralResourceWithConfigure = (*tokenEphemeral)(nil)
	_ ephemeral.EphemeralResourceWithClose     = (*tokenEphemeral)(nil)
)

// tokenEphemeral mints a token of an account, which lives as long as the run that uses it.
type tokenEphemeral struct {
	data *providerData
}

func newTokenEphemeral() ephemeral.EphemeralResource { return &tokenEphemeral{} }

type tokenModel struct {
	Platform  types.String `tfsdk:"platform"`
	Identity  types.Object `tfsdk:"identity"`
	AccountID types.String `tfsdk:"account_id"`
	Token     types.String `tfsdk:"token"`
	ExpiresAt types.String `tfsdk:"expires_at"`
}

// openToken is what Close needs. It is in the CLI's memory while the token is in use, never in plan or state.
type openToken struct {
	Platform string `json:"platform"`
	Target   string `json:"target"`
	Token    string `json:"token"`
	// Account and Operation are for the evidence: the token ends under the operation under which it began.
	Account   nhi.Ref         `json:"account"`
	Operation audit.Operation `json:"operation"`
}

const openTokenKey = "token"

func (e *tokenEphemeral) Metadata(_ context.Context, _ ephemeral.MetadataRequest, resp *ephemeral.MetadataResponse) {
	resp.TypeName = "nhi_token"
}

func (e *tokenEphemeral) Configure(_ context.Context, req ephemeral.ConfigureRequest, resp *ephemeral.ConfigureResponse) {
	e.data = configured(req.ProviderData, &resp.Diagnostics)
}

func (e *tokenEphemeral) Schema(_ context.Context, _ ephemeral.SchemaRequest, resp *ephemeral.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "A short-lived token of an identity's account, minted when it is needed and revoked when the run ends. It " +
			"acts as the account, with exactly what the account holds. It is in no plan and no state: use it in provider blocks and " +
			"write-only arguments. A plan that needs it mints and revokes one of its own.",
		Attributes: map[string]schema.Attribute{
			"platform": schema.StringAttribute{
				Required: true, MarkdownDescription: "Name of the configured platform that mints the token. It is of a kind that can: `vault`.",
			},
			"identity": schema.ObjectAttribute{
				Required: true, AttributeTypes: identityReferenceTypes(),
				MarkdownDescription: "The identity: `nhi_identity.x`, or from another workspace of the same stack " +
					"`{ name = \"billing-agent\", account_names = { secrets = \"svc_billing\" } }`. Its account carries the ownership mark of " +
					"this stack and is not suspended.",
			},
			"account_id": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "The platform's own id of the account. Set it to `nhi_identity.x.accounts[\"secrets\"].id` where the " +
					"account is made by the same configuration: that is not known before, so the token is minted after it.",
			},
			"token": schema.StringAttribute{Computed: true, Sensitive: true, MarkdownDescription: "The token."},
			"expires_at": schema.StringAttribute{
				Computed: true, MarkdownDescription: "When the token ends by itself (RFC 3339). Null if the platform sets no end.",
			},
		},
	}
}

// Open mints the token.
func (e *tokenEphemeral) Open(ctx context.Context, req ephemeral.OpenRequest, resp *ephemeral.OpenResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	var m tokenModel
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	r := m.request()
	e.check(r, &resp.Diagnostics)
	if resp.Diagnostics.HasError() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	op := e.data.beginWith(ctx, audit.NewOperation("nhi_token", audit.Identity{Name: r.Identity}, ""), nil)
	token, err := lifecycle.MintToken(ctx, op.fleet, r)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("identity"),
			fmt.Sprintf("Unable to mint a token of %q on platform %q", r.Identity, r.Platform), err.Error()+m.advice(err))
		return
	}
	resp.Diagnostics.Append(m.answer(ctx, op.journal.Operation(), token, resp)...)
	if resp.Diagnostics.HasError() {
		// Nobody closes what did not open.
		err := lifecycle.RevokeToken(ctx, op.fleet, r.Platform, token.Target, token.Account, token.Secret)
		addErrorAt(&resp.Diagnostics, path.Root("platform"), "Unable to revoke the token", err)
	}
}

func (m tokenModel) request() lifecycle.TokenRequest {
	identity := grantModel{Identity: m.Identity}
	return lifecycle.TokenRequest{
		Platform: m.Platform.ValueString(), Identity: identity.identityName().ValueString(),
		AccountNames: mapOfStrings(identity.accountNames()), AccountID: m.AccountID.ValueString(),
	}
}

// check refuses what can be told without asking the platform.
func (e *tokenEphemeral) check(r lifecycle.TokenRequest, diags *diag.Diagnostics) {
	addErrorAt(diags, path.Root("identity").AtName("name"), "Invalid identity name", nhi.CheckIdentityName(r.Identity))
	platform, err := e.data.fleet.Platform(r.Platform)
	if err != nil {
		diags.AddAttributeError(path.Root("platform"), "Unknown platform", err.Error())
		return
	}
	if platform.Spec().Can(driver.CanMintTokens) {
		return
	}
	var able []string
	for _, k := range kinds() {
		if k.spec.Can(driver.CanMintTokens) {
			able = append(able, fmt.Sprintf("%s (%s)", k.spec.Kind, k.spec.Title))
		}
	}
	diags.AddAttributeError(path.Root("platform"), "Unsuitable platform", fmt.Sprintf(
		"Platform %q (%s) does not mint tokens. Platforms of these kinds do: %s.", r.Platform, platform.Spec().Title, strings.Join(able, ", ")))
}

// advice says what to do about an account that is not there yet.
func (m tokenModel) advice(err error) string {
	if driver.CodeOf(err) != driver.NotFound || known(m.AccountID) {
		return ""
	}
	return fmt.Sprintf("\n\nIf this configuration makes the account, set account_id = nhi_identity.<name>.accounts[%q].id, so that the token "+
		"is minted after that.", m.Platform.ValueString())
}

// answer hands the token over, and to Close what it needs.
func (m tokenModel) answer(ctx context.Context, op audit.Operation, token lifecycle.Token, resp *ephemeral.OpenResponse) diag.Diagnostics {
	var diags diag.Diagnostics
	private, err := json.Marshal(openToken{
		Platform: m.Platform.ValueString(), Target: token.Target, Token: token.Secret.Reveal(), Account: token.Account, Operation: op,
	})
	if err != nil {
		diags.AddError("Unable to keep the token", err.Error())
		return diags
	}
	diags.Append(resp.Private.SetKey(ctx, openTokenKey, private)...)
	m.Token, m.ExpiresAt = types.StringValue(token.Secret.Reveal()), types.StringNull()
	if !token.ExpiresAt.IsZero() {
		m.ExpiresAt = types.StringValue(token.ExpiresAt.UTC().Format(time.RFC3339))
	}
	diags.Append(resp.Result.Set(ctx, &m)...)
	return diags
}

// Close revokes the token.
func (e *tokenEphemeral) Close(ctx context.Context, req ephemeral.CloseRequest, resp *ephemeral.CloseResponse) {
	defer recovered(ctx, &resp.Diagnostics)
	private, diags := req.Private.GetKey(ctx, openTokenKey)
	resp.Diagnostics.Append(diags...)
	if resp.Diagnostics.HasError() || private == nil {
		return
	}
	var opened openToken
	if json.Unmarshal(private, &opened) != nil {
		resp.Diagnostics.AddError("Unable to revoke the token", "This is a bug of the provider: what it kept of the token cannot be read.")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	op := e.data.beginWith(ctx, opened.Operation, nil)
	err := lifecycle.RevokeToken(ctx, op.fleet, opened.Platform, opened.Target, opened.Account, secret.New(opened.Token))
	if err != nil {
		resp.Diagnostics.AddError(fmt.Sprintf("Unable to revoke the token on platform %q", opened.Platform),
			err.Error()+"\n\nIt ends by itself; ending the sessions of the account on the platform ends it at once.")
	}
}
