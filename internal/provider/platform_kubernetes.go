package provider

import (
	"context"
	"errors"

	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	resourceschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/kubernetes"
)

type kubernetesModel struct {
	commonPlatform
	Kubeconfig     types.String `tfsdk:"kubeconfig"`
	Context        types.String `tfsdk:"context"`
	Host           types.String `tfsdk:"host"`
	Token          types.String `tfsdk:"token"`
	TokenFile      types.String `tfsdk:"token_file"`
	CACertFile     types.String `tfsdk:"ca_cert_file"`
	ClientCertFile types.String `tfsdk:"client_cert_file"`
	ClientKeyFile  types.String `tfsdk:"client_key_file"`
	TLSServerName  types.String `tfsdk:"tls_server_name"`
	InCluster      types.Bool   `tfsdk:"in_cluster"`
	Namespace      types.String `tfsdk:"namespace"`
	Namespaces     types.Set    `tfsdk:"namespaces"`
	AllowPlainHTTP types.Bool   `tfsdk:"allow_plain_http"`
}

func kubernetesKind() kind {
	return kind{
		spec: kubernetes.Spec(),
		description: "A Kubernetes cluster. Accounts are ServiceAccounts; it also stores secrets (Secret objects). One of `kubeconfig`, " +
			"`host` and `in_cluster` says where it is.",
		attributes: map[string]schema.Attribute{
			"kubeconfig": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Path of a kubeconfig file. What it says about logging in is used, a credential plugin (a program) too; " +
					"the environment variable `KUBECONFIG` is not.",
			},
			"context": schema.StringAttribute{Optional: true, MarkdownDescription: "Context in the kubeconfig file. Default: its current one."},
			"host":    schema.StringAttribute{Optional: true, MarkdownDescription: "URL of the API server."},
			"token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "Token of the provider at `host`; best an ephemeral value. Otherwise `token_file`, or the environment " +
					"variable `NHI_<NAME>_TOKEN`, or a client certificate.",
			},
			"token_file":       schema.StringAttribute{Optional: true, MarkdownDescription: "A file that holds the token."},
			"ca_cert_file":     schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the authorities to trust at `host` instead of the system's."},
			"client_cert_file": schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of the client certificate to present at `host`."},
			"client_key_file":  schema.StringAttribute{Optional: true, MarkdownDescription: "PEM file of its key."},
			"tls_server_name":  schema.StringAttribute{Optional: true, MarkdownDescription: "The name expected in the server's certificate, if it is not the host of `host`."},
			"in_cluster":       schema.BoolAttribute{Optional: true, MarkdownDescription: "Take address and login from the pod that the provider runs in."},
			"namespace": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Namespace of the accounts and Secrets whose names say none. Default `default`. An account elsewhere is " +
					"called `namespace/name`.",
			},
			"namespaces": schema.SetAttribute{
				Optional: true, ElementType: types.StringType,
				MarkdownDescription: "The only namespaces to look at, `namespace` among them, for a provider that may not read the others. " +
					"RoleBindings elsewhere are then not seen; ClusterRoleBindings are. Default: all.",
			},
			"allow_plain_http": schema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Allows `http://` addresses beyond this machine, and `insecure-skip-tls-verify` in the kubeconfig file. " +
					"Others can then read the credentials unless the connection is protected otherwise.",
			},
		},
		settings: map[string]resourceschema.Attribute{
			"automount_token": resourceschema.BoolAttribute{
				Optional: true,
				MarkdownDescription: "Whether pods that run as the account find a token of it in their file system. The platform's default is " +
					"`true`; `false` is right for an account that no pod runs as.",
			},
		},
		open: openKubernetes,
	}
}

func openKubernetes(ctx context.Context, b *blockReader) func() (driver.Driver, error) {
	var m kubernetesModel
	b.decode(ctx, &m)
	config := kubernetes.Config{
		Kubeconfig: m.Kubeconfig.ValueString(), Context: m.Context.ValueString(), Host: m.Host.ValueString(),
		CACertFile: m.CACertFile.ValueString(), ClientCertFile: m.ClientCertFile.ValueString(),
		ClientKeyFile: m.ClientKeyFile.ValueString(), TLSServerName: m.TLSServerName.ValueString(),
		AllowPlainHTTP: m.AllowPlainHTTP.ValueBool(),
		InCluster:      m.InCluster.ValueBool(), Namespace: m.Namespace.ValueString(), Namespaces: knownStrings(m.Namespaces.Elements()),
	}
	if config.Host != "" {
		b.checkURL("host", config.Host, m.AllowPlainHTTP.ValueBool())
		if config.ClientCertFile == "" {
			config.Token = b.requireSecret("token", m.Token, m.TokenFile)
		}
	} else if m.Token.ValueString() != "" || m.TokenFile.ValueString() != "" {
		b.fail("token", "Unused token", errors.New("a token belongs to host; a kubeconfig file and in_cluster bring their own login"))
	}
	b.spec = config.Spec()
	return func() (driver.Driver, error) { return kubernetes.Open(config) }
}
