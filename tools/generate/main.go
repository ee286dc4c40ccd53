// Command generate formats the configurations in examples/ and writes docs/ from the provider's schemas and tables, and from
// the figures that the benchmark keeps.
//
// It always uses the newer Terraform of the testbed: an older one leaves out what it does not know.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

//go:generate go run .

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := generate(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		stop()
		os.Exit(1)
	}
}

func generate(ctx context.Context) (err error) {
	root, err := testenv.Root()
	if err != nil {
		return err
	}
	terraform, err := programs.TerraformNew.Path(ctx, os.Stderr)
	if err != nil {
		return err
	}
	docs, err := programs.TFPluginDocs.Path(ctx, os.Stderr)
	if err != nil {
		return err
	}
	// tfplugindocs takes the first program on PATH that is called terraform.
	bin, err := os.MkdirTemp("", "nhi-generate-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(bin)) }()
	if err := os.Symlink(terraform, filepath.Join(bin, "terraform")); err != nil {
		return err
	}
	env := append(os.Environ(),
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"TF_CLI_CONFIG_FILE="+os.DevNull, // The user's own settings must not change the docs.
		"CHECKPOINT_DISABLE=1",
	)
	if err := run(ctx, root, env, terraform, "fmt", "-recursive", "examples"); err != nil {
		return err
	}
	if err := run(ctx, root, env, "go", "run", "./internal/docgen"); err != nil {
		return err
	}
	if err := run(ctx, filepath.Join(root, "tools"), env, "go", "run", "./bench", "-render"); err != nil {
		return err
	}
	return run(ctx, root, env, docs, "generate", "--provider-dir", root, "--provider-name", "nhi")
}

func run(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	return nil
}
