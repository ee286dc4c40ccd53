// Package programs builds the programs that tests and tools need and keeps them in a cache.
//
// A program is pinned by a directory in this repository (a Go module that requires it, or an npm lock file) and cached
// under a name made from the content of that directory: a changed pin is a new program, an unchanged one is built once
// per machine.
package programs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// Program is something that can be built.
type Program struct {
	// Name is what it is called on the command line.
	Name string
	// Version is for people who look into the cache; what is built follows from the files in Dir alone.
	Version string
	// Dir is the directory that pins it, relative to the root of the checkout.
	Dir string

	// Package and Tags say what `go build` builds inside Dir, LDFlags what its linker sets besides. A program without a
	// package is an npm project: Dir is copied and its dependencies are installed beside it.
	Package string
	Tags    string
	LDFlags string
	// File is the path of the program inside its directory of the cache.
	File string
}

// Programs that are built here. Terraform is built with its remote state backends left out: it serves the tests and
// must never be given to anybody.
var (
	Vault = Program{
		Name: "vault", Version: "1.21.0", Dir: "tools/testbed/modules/vault",
		Package: "github.com/hashicorp/vault", Tags: "minimal", File: "vault",
	}
	TerraformNew = Program{
		Name: "terraform_new", Version: "1.16.0", Dir: "tools/testbed/modules/terraform",
		Package: "github.com/hashicorp/terraform", File: "terraform",
	}
	OpenTofu = Program{
		Name: "opentofu", Version: "1.12.6", Dir: "tools/testbed/modules/opentofu",
		Package: "github.com/opentofu/opentofu/cmd/tofu", File: "tofu",
	}
	SCIM = Program{
		Name: "scim", Version: "1.3.5", Dir: "tools/testbed/scim", File: "server.mjs",
	}
	OAuth = Program{
		Name: "oauth", Version: "9.13.3", Dir: "tools/testbed/oauth", File: "server.mjs",
	}
	Collector = Program{
		Name: "collector", Version: "0.110.0", Dir: "tools/testbed/modules/otel-collector", Package: ".", File: "collector",
	}
	// KubeAPIServer refuses to start without a version of its own.
	KubeAPIServer = Program{
		Name: "kube-apiserver", Version: "1.37.2", Dir: "tools/testbed/modules/kube-apiserver",
		Package: "k8s.io/kubernetes/cmd/kube-apiserver", File: "kube-apiserver",
		LDFlags: "-X k8s.io/component-base/version.gitVersion=v1.37.2",
	}
	SeaweedFS = Program{
		Name: "seaweedfs", Version: "4.39", Dir: "tools/testbed/modules/seaweedfs",
		Package: "github.com/seaweedfs/seaweedfs/weed", File: "weed",
	}
	// PostgreSQLPeer is the provider that PostgreSQL users run today; the benchmark compares with it.
	PostgreSQLPeer = Program{
		Name: "postgresql-peer", Version: "1.27.0", Dir: "tools/testbed/modules/postgresql-peer",
		Package: "github.com/terraform-providers/terraform-provider-postgresql", File: "terraform-provider-postgresql",
	}
	GolangciLint = Program{
		Name: "golangci-lint", Version: "2.12.0", Dir: "tools/lint",
		Package: "github.com/golangci/golangci-lint/v2/cmd/golangci-lint", File: "golangci-lint",
	}
	Govulncheck = Program{
		Name: "govulncheck", Version: "1.9.0", Dir: "tools/vuln",
		Package: "golang.org/x/vuln/cmd/govulncheck", File: "govulncheck",
	}
	CycloneDX = Program{
		Name: "cyclonedx-gomod", Version: "1.10.0", Dir: "tools/sbom",
		Package: "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod", File: "cyclonedx-gomod",
	}
	TFPluginDocs = Program{
		Name: "tfplugindocs", Version: "0.25.0", Dir: "tools/generate/tfplugindocs",
		Package: "github.com/hashicorp/terraform-plugin-docs/cmd/tfplugindocs", File: "tfplugindocs",
	}
)

// All lists every program.
func All() []Program {
	return []Program{
		Vault, TerraformNew, OpenTofu, SCIM, OAuth, KubeAPIServer, SeaweedFS, Collector, PostgreSQLPeer, GolangciLint, Govulncheck,
		CycloneDX, TFPluginDocs,
	}
}

// Path returns the path of the built program. It builds it first if the cache does not have it, which takes seconds to
// minutes; output goes to progress. Several processes may ask for the same program at once: one builds, the others wait.
func (p Program) Path(ctx context.Context, progress io.Writer) (string, error) {
	root, err := testenv.Root()
	if err != nil {
		return "", err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, filepath.FromSlash(p.Dir))
	hash, err := p.hash(source)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.Name, err)
	}
	entry := filepath.Join(cache, fmt.Sprintf("%s-%s-%s", p.Name, p.Version, hash))
	if err := install(ctx, entry, func(temp string) error { return p.build(ctx, source, temp, progress) }); err != nil {
		return "", fmt.Errorf("build %s %s: %w", p.Name, p.Version, err)
	}
	return filepath.Join(entry, p.File), nil
}

// cacheDir creates the cache of this user.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir() // $XDG_CACHE_HOME, else .cache in the home directory.
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "nhi-testbed")
	return dir, os.MkdirAll(dir, 0o700)
}

// hash sums up everything that decides what is built.
func (p Program) hash(source string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.GOOS, runtime.GOARCH, p.Package, p.Tags)
	if p.LDFlags != "" {
		fmt.Fprintln(sum, p.LDFlags)
	}
	err := walkFiles(source, func(name string, content []byte) error {
		_, err := fmt.Fprintf(sum, "%s %d\n%s", name, len(content), content)
		return err
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// walkFiles calls visit with the files below dir in a fixed order. Installed npm packages are not part of a pin.
func walkFiles(dir string, visit func(name string, content []byte) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator))), content)
	})
}
