package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// checkRequired refuses required = true where no sink takes an event before a change: nothing would wait for it. It warns
// of the changes that no such sink takes. What is not known yet may take everything.
func checkRequired(ctx context.Context, sinks []auditSink, platforms []string, diags *diag.Diagnostics) {
	at := path.Root("audit").AtName("required")
	var before []audit.Filter
	for _, s := range sinks {
		if filter := s.atMost(ctx); len(filter.Outcomes) == 0 || slices.Contains(filter.Outcomes, audit.Intended) {
			before = append(before, filter)
		}
	}
	if len(before) == 0 {
		addErrorAt(diags, at, "Nothing to wait for", errors.New("no sink takes events before a change (outcome \"intended\"), so no "+
			"change would wait for evidence: let \"intended\" be among the outcomes of a sink, add a sink that takes it (security_events "+
			"never does), or remove required"))
		return
	}
	var free []string
	for _, platform := range platforms {
		if activities := unannounced(before, platform); len(activities) == len(audit.Activities()) {
			free = append(free, fmt.Sprintf("any change on %q", platform))
		} else if len(activities) > 0 {
			free = append(free, fmt.Sprintf("%s on %q", strings.Join(activities, ", "), platform))
		}
	}
	if len(free) > 0 {
		diags.AddAttributeWarning(at, "Changes that do not wait for evidence", "No sink takes the event before these changes, so they are "+
			"made whether or not a sink is reachable: "+strings.Join(free, "; ")+". Widen the activities or platforms of a sink that takes "+
			"the outcome \"intended\", or add one.")
	}
}

// atMost is filter, but for what is not known yet: that chooses all that the kind can send.
func (s auditSink) atMost(ctx context.Context) audit.Filter {
	filter := s.filter()
	if !whollyKnown(ctx, s.object.Attributes()["activities"]) {
		filter.Activities = s.kind.filter.Activities
	}
	if !whollyKnown(ctx, s.object.Attributes()["outcomes"]) {
		filter.Outcomes = s.kind.filter.Outcomes
	}
	if !whollyKnown(ctx, s.object.Attributes()["platforms"]) {
		filter.Platforms = nil
	}
	return filter
}

// unannounced lists the activities on a platform that no filter chooses.
func unannounced(filters []audit.Filter, platform string) []string {
	var out []string
	for _, activity := range audit.Activities() {
		intended := audit.Event{Activity: activity, Outcome: audit.Intended, Platform: audit.Platform{Name: platform}}
		if !slices.ContainsFunc(filters, func(f audit.Filter) bool { return f.Wants(intended) }) {
			out = append(out, string(activity))
		}
	}
	return out
}
