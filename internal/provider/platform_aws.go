package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

type awsModel struct {
	commonPlatform
	Region              types.String `tfsdk:"region"`
	Endpoint            types.String `tfsdk:"endpoint"`
	AccessKeyID         types.String `tfsdk:"access_key_id"`
	SecretAccessKey     types.String `tfsdk:"secret_access_key"`
	SecretAccessKeyFile types.String `tfsdk:"secret_access_key_file"`
	SessionToken        types.String `tfsdk:"session_token"`
	SessionTokenFile    types.String `tfsdk:"session_token_file"`
	Profile             types.String `tfsdk:"profile"`
	AssumeRoleARN       types.String `tfsdk:"assume_role_arn"`
	ExternalID          types.String `tfsdk:"external_id"`
	Path                types.String `tfsdk:"path"`
	KMSKeyID            types.String `tfsdk:"kms_key_id"`
	AllowPlainHTTP      types.Bool   `tfsdk:"allow_plain_http"`
}

func awsKind() kind {
	return kind{
		spec:        aws.Spec(),
		description: "An AWS account. Accounts are IAM users; it also stores secrets (Secrets Manager).",
		attributes: map[string]schema.Attribute{
			"region": schema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "Region of the Secrets Manager and of STS, and of IAM in partitions that are not AWS's first. Default `us-east-1`.",
			},
			"endpoint": schema.StringAttribute{Optional: true, MarkdownDescription: "URL of a server to ask instead of AWS, for IAM, STS and Secrets Manager."},
			"access_key_id": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Id of the provider's access key. Without it the AWS SDK's default chain logs in: environment, shared " +
					"files, web identity, container, instance.",
			},
			"secret_access_key": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Secret of `access_key_id`; best an ephemeral value. Otherwise `secret_access_key_file`, or the " +
					"environment variable `NHI_<NAME>_SECRET_ACCESS_KEY`.",
			},
			"secret_access_key_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the secret."},
			"session_token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Session token, if the access key is a temporary one; or `session_token_file`, or the environment " +
					"variable `NHI_<NAME>_SESSION_TOKEN`.",
			},
			"session_token_file": schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the session token."},
			"profile":            schema.StringAttribute{Optional: true, MarkdownDescription: "Profile of the shared files to log in with."},
			"assume_role_arn":    schema.StringAttribute{Optional: true, MarkdownDescription: "ARN of a role to act as after the login."},
			"external_id":        schema.StringAttribute{Optional: true, MarkdownDescription: "External id that the role's trust policy demands."},
			"path":               schema.StringAttribute{Optional: true, MarkdownDescription: "IAM path of the users that are made: `/nhi/`. Default `/`."},
			"kms_key_id":         schema.StringAttribute{Optional: true, MarkdownDescription: "KMS key that encrypts the secrets that are stored. Default: AWS's own."},
			"allow_plain_http":   allowPlainHTTPAttribute(),
		},
		settings: map[string]resourceschema.Attribute{
			"permissions_boundary": resourceschema.StringAttribute{
				Optional:            true,
				MarkdownDescription: "ARN of the managed policy that bounds what the user can be allowed, whatever else it is given. `\"\"` is none.",
			},
		},
		open: openAWS,
	}
}

func openAWS(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
	var m awsModel
	b.decode(ctx, &m)
	if endpoint := m.Endpoint.ValueString(); endpoint != "" {
		b.checkURL("endpoint", endpoint, m.AllowPlainHTTP.ValueBool())
	}
	var key, session secret.Value
	if m.AccessKeyID.ValueString() != "" {
		key = b.requireSecret("secret_access_key", m.SecretAccessKey, m.SecretAccessKeyFile)
		session = b.secret("session_token", m.SessionToken, m.SessionTokenFile)
	}
	config := aws.Config{
		Region: m.Region.ValueString(), Endpoint: m.Endpoint.ValueString(),
		AccessKeyID: m.AccessKeyID.ValueString(), SecretAccessKey: key, SessionToken: session, Profile: m.Profile.ValueString(),
		AssumeRoleARN: m.AssumeRoleARN.ValueString(), ExternalID: m.ExternalID.ValueString(), Path: m.Path.ValueString(),
		KMSKeyID: m.KMSKeyID.ValueString(),
	}
	return func() (driver.Driver, error) { return aws.Open(config) }
}
