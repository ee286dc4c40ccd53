package acctest

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/scim/scimfake"
	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// reach says how the platforms of one kind that examples name are reached here.
type reach struct {
	// attributes replace or join those of the platform's block, as HCL expressions; "" leaves one out.
	attributes map[string]string
	env        []string
}

// exampleReaches has a line for each kind of platform that an example uses. A new kind adds one.
func exampleReaches(t *testing.T, sap *httptest.Server) map[string]reach {
	t.Helper()
	servers := testenv.Load(t)
	return map[string]reach{
		"sandbox": {},
		"kubernetes": {
			attributes: map[string]string{"host": quoted(servers.Kubernetes.Address), "ca_cert_file": quoted(servers.Kubernetes.CAFile)},
			env:        []string{"NHI_CLUSTER_TOKEN=" + servers.Kubernetes.Token},
		},
		"mysql": {
			attributes: map[string]string{
				"host": quoted(servers.MySQL.Host), "port": fmt.Sprint(servers.MySQL.Port), "username": quoted(servers.MySQL.Username),
				"ca_cert_file": quoted(servers.MySQL.CAFile),
			},
			env: []string{"NHI_ORDERS_PASSWORD=" + servers.MySQL.Password},
		},
		"oauth_client": {
			attributes: map[string]string{"issuer": quoted(servers.OAuth.Issuer)},
			env:        []string{"NHI_LOGIN_INITIAL_ACCESS_TOKEN=" + servers.OAuth.InitialAccessToken},
		},
		"postgresql": {
			attributes: map[string]string{
				"host": quoted(servers.PostgreSQL.Host), "port": fmt.Sprint(servers.PostgreSQL.Port), "sslrootcert": quoted(servers.PostgreSQL.CAFile),
			},
			env: []string{"NHI_WAREHOUSE_PASSWORD=" + servers.PostgreSQL.Password},
		},
		"vault": {
			attributes: map[string]string{"address": quoted(servers.Vault.Address)},
			env:        []string{"NHI_SECRETS_TOKEN=" + servers.Vault.Token},
		},
		"redmine": {
			attributes: map[string]string{"url": quoted(servers.Redmine.URL)},
			env:        []string{"NHI_TICKETS_API_KEY=" + servers.Redmine.APIKey},
		},
		// These are reached by the places of their examples.
		"aws": {}, "jira": {}, "ldap": {}, "sap_btp": {},
		"scim": {attributes: map[string]string{"url": quoted(sap.URL + "/scim")}, env: []string{"NHI_SAP_PASSWORD=" + examplePassword}},
	}
}

const (
	// exampleStack is the stack of most examples.
	exampleStack    = "payments-prod"
	examplePassword = "password-of-the-examples"
)

func quoted(text string) string { return fmt.Sprintf("%q", text) }

// example is a configuration made of files of examples/, and what is done with it.
type example struct {
	name  string
	files []string
	// reach says where the places are that only this example names.
	reach func(t *testing.T, e *exampleRun)
	// prepare makes what the example's text takes for granted.
	prepare func(t *testing.T, e *exampleRun)
	// first is what is done before it is applied.
	first func(t *testing.T, e *exampleRun)
	// use is what is done between applying it and destroying it; nil runs nothing.
	use func(t *testing.T, e *exampleRun)
	env []string
}

// exampleRun is an example with its platforms.
type exampleRun struct {
	*Workspace
	fake *scimfake.Server
	sap  *httptest.Server
	// used are the files under examples/ that were used.
	used map[string]bool
	// places are texts of the examples, each followed by what stands for it here.
	places []string
}

// Every example is planned and applied, against the real servers where there is one, and every script in it is run.
func TestExamples(t *testing.T) {
	t.Parallel()
	root, err := testenv.Root()
	if err != nil {
		t.Fatal(err)
	}
	examples := filepath.Join(root, "examples")
	all, used := exampleList(t, examples), make(map[string]bool)
	whole := NewWorkspace(t).atLeast(queryVersion)
	if !whole {
		// What differs between the CLIs is validated by tools/examples.
		all = slices.DeleteFunc(all, func(e example) bool { return e.name != "platforms/sandbox" })
	}
	if len(all) == 0 {
		t.Fatal("there are no examples")
	}
	prepareExamples(t)
	for _, e := range all {
		t.Run(e.name, func(t *testing.T) { e.run(t, examples, used) })
	}
	if !whole || t.Failed() {
		return
	}
	for _, file := range exampleFiles(t, examples) {
		if !used[file] && !slices.ContainsFunc(usedElsewhere(), func(dir string) bool { return strings.HasPrefix(file, dir) }) {
			t.Errorf("no test uses examples/%s", file)
		}
	}
}

// usedElsewhere are the directories that tools/examples applies (TestReviewExamplesApply).
func usedElsewhere() []string { return []string{"data-sources/", "functions/"} }

// exampleFiles lists every file under examples/.
func exampleFiles(t *testing.T, examples string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(examples, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, relErr := filepath.Rel(examples, path)
			files, err = append(files, name), relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func (e example) run(t *testing.T, examples string, used map[string]bool) {
	t.Helper()
	fake := scimfake.New(scimfake.Options{SAP: true, Username: "terraform", Password: examplePassword})
	sap := httptest.NewServer(fake)
	defer sap.Close()
	reaches := exampleReaches(t, sap)
	var env []string
	for _, kind := range slices.Sorted(maps.Keys(reaches)) {
		env = append(env, reaches[kind].env...)
	}
	r := &exampleRun{Workspace: NewWorkspace(t, append(env, e.env...)...), fake: fake, sap: sap, used: used}
	r.reachAudit(t)
	if e.reach != nil {
		e.reach(t, r)
	}
	for _, file := range e.files {
		r.add(t, examples, file, reaches)
	}
	r.bin(t)
	r.addGroups(t, "Billing Viewers", "Period Closing")
	cleanExamples(t)
	t.Cleanup(func() { cleanExamples(t) })
	for _, f := range []func(*testing.T, *exampleRun){e.prepare, e.first} {
		if f != nil {
			f(t, r)
		}
	}
	hasConfiguration := slices.ContainsFunc(e.files, func(f string) bool { return strings.HasSuffix(f, ".tf") })
	if !hasConfiguration {
		t.Fatal("there is no configuration")
	}
	r.ApplyOnly()
	r.Plan(exitEmpty)
	if e.use != nil {
		e.use(t, r)
	}
	r.Destroy()
}

// add copies a file of the examples into the workspace.
func (r *exampleRun) add(t *testing.T, examples, file string, reaches map[string]reach) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(examples, file))
	if err != nil {
		t.Fatal(err)
	}
	r.used[file] = true
	name := filepath.Base(file)
	if strings.HasSuffix(name, ".tf") { // several examples make one configuration
		name = strings.ReplaceAll(file, "/", "-")
		content = []byte(rewritten(t, file, strings.NewReplacer(r.places...).Replace(string(content)), reaches))
	}
	r.write(name, string(content))
}

var (
	providerLine = regexp.MustCompile(`^provider "nhi" \{$`)
	blockLine    = regexp.MustCompile(`^  (\w+) \{$`)
	settingLine  = regexp.MustCompile(`^    (\w+)\s*=`)
)

// place makes a text of the example stand for something here.
func (r *exampleRun) place(text, here string) { r.places = append(r.places, text, here) }

// rewritten is the text of an example with the platforms of its provider blocks as they are reached here.
func rewritten(t *testing.T, file, text string, reaches map[string]reach) string {
	t.Helper()
	var kinds []string
	for _, spec := range provider.Specs() {
		kinds = append(kinds, spec.Kind)
	}
	var out []string
	inProvider, in := false, reach{}
	for line := range strings.SplitSeq(text, "\n") {
		switch m := blockLine.FindStringSubmatch(line); {
		case providerLine.MatchString(line):
			inProvider = true
		case line == "}":
			inProvider = false
		case inProvider && m != nil && slices.Contains(kinds, m[1]):
			known := false
			if in, known = reaches[m[1]]; !known {
				t.Fatalf("examples/%s has a platform of kind %q: say in exampleReaches how it is reached here", file, m[1])
			}
		case inProvider && line == "  }":
			for _, name := range slices.Sorted(maps.Keys(in.attributes)) {
				if in.attributes[name] != "" {
					out = append(out, "    "+name+" = "+in.attributes[name])
				}
			}
			in = reach{}
		}
		if m := settingLine.FindStringSubmatch(line); inProvider && m != nil {
			if _, replaced := in.attributes[m[1]]; replaced {
				continue
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// bin makes "terraform" the CLI under test, which approves by itself, and "terraform-provider-nhi" the provider. There is
// nothing to install with init.
func (r *exampleRun) bin(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	wrapper := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = init ] && exit 0\nexec %q \"$@\"\n", r.cli)
	if err := os.WriteFile(filepath.Join(dir, "terraform"), []byte(wrapper), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	if err := os.Symlink(providerBinary(t), filepath.Join(dir, "terraform-provider-nhi")); err != nil {
		t.Fatal(err)
	}
	r.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	r.Setenv("TF_CLI_ARGS_apply", "-auto-approve -input=false -no-color")
	r.Setenv("TF_CLI_ARGS_destroy", "-auto-approve -input=false -no-color")
}

// shell runs a script of the example, which must exit with code.
func (r *exampleRun) shell(t *testing.T, code int, script string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, script))
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-e", script}
	if strings.HasPrefix(string(content), "#!") { // it says itself what happens after an error
		args = args[1:]
	}
	return r.command(t, code, args...)
}

func (r *exampleRun) command(t *testing.T, code int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", args...)
	cmd.Dir, cmd.Env = r.dir, r.env
	output, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("sh %s: %v, want exit code %d\n%s", strings.Join(args, " "), err, code, output)
	}
	return string(output)
}

// pipeline runs the commands of a pipeline's file.
func (r *exampleRun) pipeline(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^ +- (?:run: )?((?:terraform|sh) .+)$`).FindAllStringSubmatch(string(content), -1)
	if len(commands) != 2 {
		t.Fatalf("%s has the commands %q", file, commands)
	}
	for _, c := range commands {
		r.command(t, 0, "-c", c[1])
	}
}

// lines runs each command of a file of shell commands in the workspace as it is now, each time with an empty state.
func (r *exampleRun) lines(t *testing.T, script string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, script))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "terraform ") {
			for _, state := range []string{"terraform.tfstate", "terraform.tfstate.backup"} {
				_ = os.Remove(filepath.Join(r.dir, state))
			}
			r.command(t, 0, "-c", line)
		}
	}
}

// read returns a file of the workspace.
func (r *exampleRun) read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
