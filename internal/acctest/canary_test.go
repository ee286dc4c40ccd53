package acctest

import (
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// No secret that the provider is given or makes is in plan, state, TRACE log, output or error, whether it comes from
// the environment or from an ephemeral variable, and whether the platform accepts it or not.
func TestCanary(t *testing.T) {
	t.Parallel()
	sites := allKinds(t)
	c := config{stack: unique(t, "stack"), identity: unique(t, "agent"), sites: sites, holds: []int{0, 1}}
	w := c.workspace(t)
	const wrong = "canary-of-a-wrong-password"
	secrets := []secret.Value{secret.New(wrong)}
	for _, s := range sites {
		secrets = append(secrets, s.admin...)
	}
	var seen strings.Builder
	keep := func(r Result) { seen.WriteString(r.Output) }
	w.Setenv("TF_LOG", "TRACE")
	w.Setenv("TF_LOG_PATH", filepath.Join(w.dir, "trace.log"))

	keep(w.Plan(exitChanges, "-out=saved"))
	keep(w.must(0, "apply", "-no-color", "saved"))
	keep(w.must(0, "show", "-json", "saved"))

	// The same through an ephemeral variable.
	pg := sites[0]
	block := pg.block()
	pg.block = func() string { return strings.Replace(block, "host =", "password = var.password\n  host =", 1) }
	w.Configure("variable \"password\" {\n  type = string\n  ephemeral = true\n  sensitive = true\n}\n" + c.hcl())
	w.Setenv("TF_VAR_password", testenv.Load(t).PostgreSQL.Password)
	w.Setenv("NHI_WAREHOUSE_PASSWORD", "")
	keep(w.Plan(exitEmpty, "-out=saved_again"))

	// Refused secrets stay out of errors.
	w.Setenv("TF_VAR_password", wrong)
	w.Setenv("NHI_SECRETS_TOKEN", wrong)
	w.Setenv("NHI_SAP_TOKEN", wrong)
	keep(w.Plan(exitError))

	texts := map[string]string{"output": seen.String()}
	for _, name := range []string{"terraform.tfstate", "trace.log"} {
		content, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(content)
	}
	for _, name := range []string{"saved", "saved_again"} {
		texts[name] = unzip(t, filepath.Join(w.dir, name))
	}
	if !strings.Contains(texts["trace.log"], "platform call") {
		t.Error("the log has no line of the provider: the test looks at the wrong one")
	}
	for where, text := range texts {
		for i, s := range secrets {
			if strings.Contains(text, s.Reveal()) {
				at := strings.Index(text, s.Reveal())
				t.Errorf("secret %d is in %s, behind %q", i, where, text[max(0, at-300):at])
			}
		}
	}
	w.Setenv("TF_LOG", "")
	w.env = append(w.env, sites[1].env...)
	w.env = append(w.env, sites[2].env...)
	w.Setenv("TF_VAR_password", testenv.Load(t).PostgreSQL.Password)
	w.Destroy()
}

// unzip returns the contents of all files of a saved plan.
func unzip(t *testing.T, path string) string {
	t.Helper()
	archive, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close() //nolint:errcheck // only read
	var all strings.Builder
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(io.LimitReader(r, 64<<20))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		all.Write(content)
	}
	return all.String()
}
