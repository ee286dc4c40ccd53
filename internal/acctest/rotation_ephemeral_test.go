package acctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

var buildEchoOnce = sync.OnceValues(func() (string, error) {
	root, err := testenv.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", "echo", "terraform-provider-echo")
	return path, build(root, path, "./internal/acctest/echoprovider")
})

// useEcho makes the CLI know the echo provider besides the one at nhi.
func (w *Workspace) useEcho(nhi string) {
	w.t.Helper()
	echo, err := buildEchoOnce()
	if err != nil {
		w.t.Fatal(err)
	}
	w.write("cli.rc", fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"nhi-labs/nhi\" = %q\n    \"nhi-labs/echo\" = %q\n  }\n  direct {}\n}\n",
		filepath.Dir(nhi), filepath.Dir(echo)))
}

// The credential goes through another provider's write-only argument, at its first delivery and after each rotation,
// and is in no plan and no state.
func TestCredentialFeedsAWriteOnlyArgument(t *testing.T) {
	t.Parallel()
	s, store := sandboxSite(t, "warehouse"), sandboxSite(t, "secrets")
	r := newRotations(t, []*site{s}, store)
	w := r.workspace(t)
	file := filepath.Join(t.TempDir(), "echo")
	hcl := r.hcl() + fmt.Sprintf(`
ephemeral "nhi_credential" "this" {
  platform = "secrets"
  path     = %q
  label    = nhi_rotation.warehouse.current
}

resource "echo_file" "this" {
  path             = %q
  value_wo         = "${ephemeral.nhi_credential.this.login} ${ephemeral.nhi_credential.this.fields["secret"]}"
  value_wo_version = nhi_rotation.warehouse.current
}
`, r.path(s), file)
	w.Configure(hcl)
	w.write("main.tf", "terraform {\n  required_providers {\n    nhi  = { source = \"nhi-labs/nhi\" }\n    echo = { source = \"nhi-labs/echo\" }\n  }\n}\n\n"+hcl)
	clock, err := buildClockOnce()
	if err != nil {
		t.Fatal(err)
	}
	w.useEcho(clock)
	var secrets, texts []string
	for i := range 2 {
		w.Setenv("NHI_ACC_CLOCK", (time.Duration(i) * cycle).String())
		texts = append(texts, w.Plan(exitChanges, "-out=saved").Output, unzip(t, filepath.Join(w.dir, "saved")))
		texts = append(texts, w.must(0, "apply", "-no-color", "saved").Output)
		stored := r.held(t, s, store)
		got, err := os.ReadFile(file)
		want := stored.Fields["login"].Reveal() + " " + stored.Fields["secret"].Reveal()
		if err != nil || string(got) != want {
			t.Fatalf("the other provider got %q (%v), want what the store holds", got, err)
		}
		secrets = append(secrets, stored.Fields["secret"].Reveal())
		texts = append(texts, w.Plan(exitEmpty).Output)
	}
	state, err := os.ReadFile(filepath.Join(w.dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range append(texts, string(state)) {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("text %d holds a secret", i)
			}
		}
	}
	if secrets[0] == secrets[1] {
		t.Error("the rotation made no new secret")
	}
	w.Destroy()
}
