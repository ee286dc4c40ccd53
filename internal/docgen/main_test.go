package main

import (
	"path/filepath"
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
