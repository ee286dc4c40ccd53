package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

func TestReplaceKeepsWhatIsAround(t *testing.T) {
	once, err := replace("before\n"+begin+"old\n"+end+"after\n", "new\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + begin + "new\n" + end + "after\n"; once != want {
		t.Errorf("got %q", once)
	}
	if twice, err := replace(once, "new\n"); err != nil || twice != once {
		t.Errorf("second run: %q, %v", twice, err)
	}
	if _, err := replace("no markers", "new"); err == nil {
		t.Error("a file without markers passes")
	}
}

func TestAuditSection(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	text, err := auditSection()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range audit.Activities() {
		if !strings.Contains(text, "| `"+string(a)+"` |") {
			t.Errorf("no row for %s", a)
		}
	}
	if !strings.Contains(text, `"class_uid": 3005`) {
		t.Error("no example")
	}
}

func TestSectionNamesEveryTypeAndSetting(t *testing.T) {
	for _, spec := range provider.Specs() {
		text := section(spec)
		for _, row := range spec.Grammar.Types {
			if !strings.Contains(text, "| `"+row.Name+"` | `"+row.Example+"` |") {
				t.Errorf("%s: no row for %s", spec.Kind, row.Name)
			}
		}
		for _, setting := range spec.Settings {
			if !strings.Contains(text, "| `"+setting.Name+"` |") {
				t.Errorf("%s: no row for the setting %s", spec.Kind, setting.Name)
			}
		}
	}
}

func TestOverviewHasEveryKind(t *testing.T) {
	text := overview(provider.Specs())
	for _, spec := range provider.Specs() {
		if !strings.Contains(text, "(platform-"+spec.Kind+")") || !strings.Contains(text, spec.Evidence) {
			t.Errorf("no row for %s", spec.Kind)
		}
	}
	rows := strings.Split(strings.TrimSpace(text), "\n")
	for _, row := range rows {
		if strings.Count(row, "|") != strings.Count(rows[0], "|") {
			t.Errorf("the row has another number of columns: %s", row)
		}
	}
}

// TestThreatModelNamesTests: what the threat model says is held by a test is held by one that exists.
func TestThreatModelNamesTests(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "templates", "guides", "threat-model.md.tmpl"))
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|HTTPFaults)\w*)\(`)
	known := map[string]bool{}
	err = filepath.WalkDir(filepath.Join(root, "internal"), func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".go" {
			return err
		}
		text, err := os.ReadFile(name)
		for _, found := range declared.FindAllSubmatch(text, -1) {
			known[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz|HTTPFaults)\\w*)[^`]*`").FindAllSubmatch(page, -1)
	if len(named) < 20 {
		t.Errorf("the page names %d tests", len(named))
	}
	for _, name := range named {
		if !known[string(name[1])] {
			t.Errorf("the page names %s, which is no test", name[1])
		}
	}
}
