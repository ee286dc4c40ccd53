// Command docgen writes what the code knows of each kind of platform (entitlements, settings, abilities) into the
// kind's guide, templates/guides/platform-<kind>.md.tmpl, and into a comparison of all kinds, between two markers. It runs in the root of the checkout.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

const (
	begin = "<!-- generated from the code by make generate: do not edit -->\n"
	end   = "<!-- end of the generated part -->\n"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func run() error {
	guides := filepath.Join("templates", "guides")
	for _, spec := range provider.Specs() {
		if err := update(filepath.Join(guides, "platform-"+spec.Kind+".md.tmpl"), section(spec)); err != nil {
			return fmt.Errorf("every kind of platform has a guide: %w", err)
		}
	}
	if err := update(filepath.Join(guides, "platforms.md.tmpl"), overview(provider.Specs())); err != nil {
		return err
	}
	text, err := auditSection()
	if err != nil {
		return err
	}
	return update(filepath.Join(guides, "audit-sinks.md.tmpl"), text)
}

// update puts text between the markers of a file.
func update(path, text string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed, err := replace(string(content), text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(changed), 0o644) //nolint:gosec // Documentation is public.
}

func replace(content, text string) (string, error) {
	before, rest, opened := strings.Cut(content, begin)
	_, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		return "", fmt.Errorf("the lines %q and %q around the generated part are missing", begin, end)
	}
	return before + begin + text + end + after, nil
}

// section is what the code knows of one kind.
func section(spec driver.Spec) string {
	var out strings.Builder
	out.WriteString("\n## Entitlements\n\n| Type | Example | Permissions | What it means |\n|---|---|---|---|\n")
	for _, t := range spec.Grammar.Types {
		fmt.Fprintf(&out, "| `%s` | `%s` | %s | %s |\n", t.Name, cell(t.Example), permissions(t), cell(meaning(t)))
	}
	out.WriteString("\n## Settings of an account\n\n")
	if len(spec.Settings) == 0 {
		out.WriteString("There are none.\n")
	} else {
		fmt.Fprintf(&out, "In the sub-block `%s` of an `account` block:\n\n| Setting | Meaning |\n|---|---|\n", spec.Kind)
	}
	for _, s := range spec.Settings {
		fmt.Fprintf(&out, "| `%s` | %s |\n", s.Name, cell(s.Description))
	}
	out.WriteString("\n## What the provider does here\n\n| | |\n|---|---|\n")
	for _, a := range abilities(spec) {
		fmt.Fprintf(&out, "| %s | %s |\n", a.question, yesNo(a.yes))
	}
	fmt.Fprintf(&out, "| Proven against | %s |\n\n", evidence(spec.Evidence))
	return out.String()
}

func meaning(t nhi.EntitlementType) string {
	if t.Observed == "" {
		return t.Description
	}
	return t.Description + " **Shown as drift, cannot be granted:** " + t.Observed + "."
}

func permissions(t nhi.EntitlementType) string {
	switch {
	case t.FreePermission:
		return "the platform's own"
	case len(t.Permissions) == 0:
		return "–"
	default:
		return "`" + strings.Join(t.Permissions, "` `") + "`"
	}
}

// cell makes a text safe for a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

type ability struct {
	question string
	yes      bool
}

func abilities(spec driver.Spec) []ability {
	return []ability{
		{"Suspends and resumes accounts (`enabled`, `expires_at`)", spec.Can(driver.CanSuspend)},
		{"Ends live sessions", spec.Can(driver.CanEndSessions)},
		{"Sets the platform's own expiry date, so that access ends without an apply", spec.NativeExpiry},
		{"Issues, sees and revokes credentials (`nhi_rotation`)", spec.Can(driver.CanIssue)},
		{"Mints short-lived tokens (`nhi_token`)", spec.Can(driver.CanMintTokens)},
		{"Reads all accounts in bulk", spec.Can(driver.CanSweep)},
		{"Tells what accounts inherit (`nhi_entitlements`, `nhi_holders`)", spec.Can(driver.CanExplain)},
		{"Keeps secrets for others", spec.Can(driver.CanStoreSecrets)},
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func evidence(text string) string {
	switch text {
	case "real server":
		return "the real system, in every run of the tests"
	case "compatible server":
		return "a compatible server of another maker, in every run of the tests"
	default:
		return "a " + text + ", which follows the maker's documentation; not yet against the real system"
	}
}
