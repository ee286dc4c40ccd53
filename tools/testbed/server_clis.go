package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// clis are the programs that drive the provider. Nothing of them runs; it is enough that they are there.
type clis struct{}

func (clis) name() string { return "cli" }

func (clis) install(ctx context.Context) error {
	var all testenv.Servers
	return clis{}.start(ctx, nil, &all)
}

func (clis) start(ctx context.Context, _ *place, all *testenv.Servers) error {
	var errTerraform, errNew, errTofu error
	all.CLI.Terraform, errTerraform = terraformPath(ctx)
	all.CLI.TerraformNew, errNew = programs.TerraformNew.Path(ctx, os.Stderr)
	all.CLI.OpenTofu, errTofu = programs.OpenTofu.Path(ctx, os.Stderr)
	return errors.Join(errTerraform, errNew, errTofu)
}

func (clis) health(ctx context.Context, all testenv.Servers) error {
	for _, path := range []string{all.CLI.Terraform, all.CLI.TerraformNew, all.CLI.OpenTofu} {
		cmd := exec.CommandContext(ctx, path, "version")
		// The user's own settings are none of our business.
		cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+os.DevNull)
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	return nil
}

func (clis) describe(all testenv.Servers) string {
	return all.CLI.Terraform + " " + all.CLI.TerraformNew + " " + all.CLI.OpenTofu
}

// terraformPath is the terraform on PATH: the version that people here have. Without one it is the newer one.
func terraformPath(ctx context.Context) (string, error) {
	path, err := exec.LookPath("terraform")
	if err != nil {
		return programs.TerraformNew.Path(ctx, os.Stderr)
	}
	return filepath.Abs(path)
}
