package acctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// secretWatch collects every text in which a secret must not be.
type secretWatch struct {
	w       *Workspace
	output  strings.Builder
	args    map[string]bool
	secrets []secret.Value
	stop    chan struct{}
	done    chan struct{}
}

// watchForSecrets makes the workspace log everything, and looks at the argument lists of all processes until the check.
func watchForSecrets(t *testing.T, w *Workspace) *secretWatch {
	t.Helper()
	w.Setenv("TF_LOG", "TRACE")
	w.Setenv("TF_LOG_PATH", filepath.Join(w.dir, "trace.log"))
	s := &secretWatch{w: w, args: make(map[string]bool), stop: make(chan struct{}), done: make(chan struct{})}
	s.sample(t)
	go func() {
		defer close(s.done)
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
				s.processes()
			}
		}
	}()
	return s
}

// keep remembers what a command wrote.
func (s *secretWatch) keep(r Result) { s.output.WriteString(r.Output) }

func (s *secretWatch) add(v secret.Value) { s.secrets = append(s.secrets, v) }

// sample fails the test if processes cannot be listed.
func (s *secretWatch) sample(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("ps", "-eo", "args").Output(); err != nil || !strings.Contains(string(out), "ps -eo args") {
		t.Errorf("list processes: %v", err)
	}
}

func (s *secretWatch) processes() {
	out, _ := exec.Command("ps", "-eo", "args").Output()
	for line := range strings.SplitSeq(string(out), "\n") {
		s.args[line] = true
	}
}

// check looks for the secrets in everything that was collected, in the workspace's files, and in files.
func (s *secretWatch) check(t *testing.T, files ...string) {
	t.Helper()
	close(s.stop)
	<-s.done
	var args strings.Builder
	for line := range s.args {
		args.WriteString(line + "\n")
	}
	texts := map[string]string{"output": s.output.String(), "process arguments": args.String()}
	if !strings.Contains(texts["process arguments"], "terraform-provider-nhi") {
		t.Error("the provider is not among the processes: the test looks at the wrong ones")
	}
	for _, name := range []string{"terraform.tfstate", "terraform.tfstate.backup", "trace.log"} {
		files = append(files, filepath.Join(s.w.dir, name))
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(content)
	}
	texts["saved plan"] = unzip(t, filepath.Join(s.w.dir, "saved"))
	if len(s.secrets) == 0 {
		t.Error("there is no secret to look for")
	}
	for where, text := range texts {
		for i, v := range s.secrets {
			if at := strings.Index(text, v.Reveal()); at >= 0 {
				t.Errorf("secret %d is in %s, behind %q", i, where, text[max(0, at-300):at])
			}
		}
	}
}
