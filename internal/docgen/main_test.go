package main

import (
	"strings"
	"testing"

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
