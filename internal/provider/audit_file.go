package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/file"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

type auditFileModel struct {
	commonAudit
	Path types.String `tfsdk:"path"`
}

func auditFileKind() auditKind {
	return auditKind{
		name:        "file",
		description: "Appends each event to a file, as one line of JSON.",
		attributes: map[string]schema.Attribute{
			"path": schema.StringAttribute{
				Required: true,
				MarkdownDescription: "The file. It is created with mode 0600 if it does not exist; its directory is not. It may be renamed " +
					"at any time, and several runs may write to it at once.",
			},
		},
		open: func(ctx context.Context, b *blockReader, version ocsf.Version) audit.Sink {
			var m auditFileModel
			b.decode(ctx, &m)
			return file.New(file.Config{Path: m.Path.ValueString(), Version: version})
		},
	}
}
