// Package examples checks that every configuration in examples/ is valid with the CLIs that acctest.TestExamples does not
// apply all of them with.
package examples

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

func TestExamplesAreValid(t *testing.T) {
	root, err := testenv.Root()
	check(t, err)
	cli := testenv.Load(t).CLI
	settings := overrides(t, root)
	examples := filepath.Join(root, "examples")
	identity, grant := filepath.Join(examples, "resources/nhi_identity"), filepath.Join(examples, "resources/nhi_grant")
	resources := []string{
		filepath.Join(examples, "provider/provider.tf"), filepath.Join(identity, "resource.tf"), filepath.Join(grant, "resource.tf"),
		filepath.Join(examples, "resources/nhi_rotation/resource.tf"),
		filepath.Join(examples, "ephemeral-resources/nhi_credential/ephemeral-resource.tf"),
		filepath.Join(examples, "ephemeral-resources/nhi_token/ephemeral-resource.tf"),
	}
	configurations := map[string][]string{
		"resources":           resources,
		"import by string id": append(resources[:3:3], filepath.Join(identity, "import-by-string-id.tf"), filepath.Join(grant, "import-by-string-id.tf")),
	}
	for _, pattern := range []string{"platforms/*", "guides/*"} {
		dirs, err := filepath.Glob(filepath.Join(examples, pattern))
		check(t, err)
		for _, dir := range dirs {
			files, err := filepath.Glob(filepath.Join(dir, "*.tf"))
			check(t, err)
			if len(files) > 0 {
				configurations[strings.TrimPrefix(dir, examples+"/")] = files
			}
		}
	}
	if len(configurations) < 8 {
		t.Fatalf("found only %d configurations", len(configurations))
	}
	for _, program := range []string{cli.Terraform, cli.OpenTofu} {
		for name, files := range configurations {
			if hasActions(t, files) {
				continue // An action block is an error before Terraform 1.14 and in OpenTofu.
			}
			t.Run(filepath.Base(filepath.Dir(program))+"/"+name, func(t *testing.T) {
				t.Parallel()
				run(t, program, settings, copied(t, files), "validate")
			})
		}
	}
	// An import block by resource identity is an error in Terraform before 1.12.
	byIdentity := append(resources[:3:3], filepath.Join(identity, "import-by-identity.tf"), filepath.Join(grant, "import-by-identity.tf"))
	run(t, cli.OpenTofu, settings, copied(t, byIdentity), "validate")
}

// hasActions reports whether one of the files has an action block.
func hasActions(t *testing.T, files []string) bool {
	t.Helper()
	return slices.ContainsFunc(files, func(file string) bool {
		content, err := os.ReadFile(file)
		check(t, err)
		return strings.Contains(string(content), "\naction \"")
	})
}

// overrides builds the provider and returns the path of the settings that make a program use it.
func overrides(t *testing.T, root string) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "terraform-provider-nhi"), ".")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the provider: %v\n%s", err, output)
	}
	settings := filepath.Join(dir, "cli.tfrc")
	text := fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"nhi-labs/nhi\" = %q\n  }\n  direct {}\n}\n", dir)
	check(t, os.WriteFile(settings, []byte(text), 0o600))
	return settings
}

func copied(t *testing.T, files []string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range files {
		content, err := os.ReadFile(file)
		check(t, err)
		name := filepath.Base(filepath.Dir(file)) + "-" + filepath.Base(file)
		check(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	return dir
}

func run(t *testing.T, program, settings, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append(args, "-no-color")...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TF_CLI_CONFIG_FILE="+settings, "CHECKPOINT_DISABLE=1")
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v\n%s", program, strings.Join(args, " "), err, output)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
