package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// workshop builds what the story needs, into a temporary directory.
type workshop struct {
	root string // of the checkout
	dir  string
}

// goBuild builds one program and returns its path.
func (w workshop) goBuild(ctx context.Context, module, pkg string) (string, error) {
	name := filepath.Base(pkg)
	if pkg == "." {
		name = "terraform-provider-nhi"
	}
	path := filepath.Join(w.dir, "bin", name)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, pkg)
	cmd.Dir, cmd.Stderr = module, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return path, nil
}

// platforms returns the company's systems.
func (w workshop) platforms(ctx context.Context, onServers bool) ([]platform, error) {
	if onServers {
		path, err := testenv.Path()
		if err != nil {
			return nil, err
		}
		servers, err := testenv.Read(path)
		if err != nil {
			return nil, err
		}
		return realPlatforms(servers)
	}
	ctl, err := w.goBuild(ctx, w.root, "./internal/sandboxctl")
	if err != nil {
		return nil, err
	}
	return sandboxes(ctl, w.dir), nil
}

// terraform finds Terraform or OpenTofu on PATH, or else builds OpenTofu, and makes it use the provider of this
// checkout.
func (w workshop) terraform(ctx context.Context, out io.Writer) (*terraform, error) {
	program, err := findProgram(ctx, out)
	if err != nil {
		return nil, err
	}
	provider, err := w.goBuild(ctx, w.root, ".")
	if err != nil {
		return nil, err
	}
	settings := filepath.Join(w.dir, "cli.tfrc")
	text := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"nhi-labs/nhi\" = %q\n  }\n  direct {}\n}\n", filepath.Dir(provider))
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return nil, err
	}
	env := append(withoutTerraformSettings(os.Environ()),
		"TF_CLI_CONFIG_FILE="+settings, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1")
	return &terraform{program: program, dir: w.dir, env: env, out: out, color: isTerminal(out)}, nil
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func findProgram(ctx context.Context, out io.Writer) (string, error) {
	for _, name := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	fmt.Fprintln(out, "There is no Terraform or OpenTofu on PATH. Building OpenTofu; the first time this takes some minutes.")
	return programs.OpenTofu.Path(ctx, os.Stderr)
}

// withoutTerraformSettings drops what would make Terraform behave differently from machine to machine.
func withoutTerraformSettings(env []string) []string {
	var kept []string
	for _, variable := range env {
		if !strings.HasPrefix(variable, "TF_") && !strings.HasPrefix(variable, "NHI_") {
			kept = append(kept, variable)
		}
	}
	return kept
}
