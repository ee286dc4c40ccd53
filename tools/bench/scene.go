package main

import (
	"fmt"
	"strings"
	"time"
)

// scene is one configuration to measure: n identities with an account on each platform of a site, and a grant of what
// the site says. On three platforms that is two entitlements each, six in all; on PostgreSQL alone six.
type scene struct {
	n     int
	shape string
	site  string
	// latency is how long a platform takes to answer one request beyond the time that it needs.
	latency time.Duration
	// audited scenes have an audit sink.
	audited bool
	// parallelism is Terraform's, 0 for its default.
	parallelism int
}

func (s scene) String() string {
	text := fmt.Sprintf("%d × %s in %s, latency %s", s.n, s.shape, s.site, s.latency)
	if s.parallelism > 0 {
		text += fmt.Sprintf(", parallelism %d", s.parallelism)
	}
	return text
}

// The shapes of a configuration.
const (
	// withCount and withForEach are two resources that refer to each other by the index, or the key.
	withCount   = "count"
	withForEach = "for_each"
	// inBlocks has a block for each identity and one for each grant.
	inBlocks = "blocks"
	// inTwoStates has the identities in one configuration and the grants in another, which names the identities.
	inTwoStates = "two states"
	// alone has identities and no grants.
	alone = "identities"
)

func shapes() []string { return []string{withCount, withForEach, inBlocks, inTwoStates, alone} }

// defaultSite has no latency where that can be.
func defaultSite(latency time.Duration) string {
	if latency == 0 {
		return inFiles
	}
	return inServices
}

// configurations are the main.tf of each state, in the order in which they are applied.
func (s scene) configurations(at *site) ([]string, error) {
	w := writer{at}
	head := w.head(s.audited)
	count := fmt.Sprintf("count = %d", s.n)
	switch s.shape {
	case withCount:
		return []string{head + w.identity("svc", count, `"svc-${count.index}"`) + w.grant("svc", count, "nhi_identity.svc[count.index]")}, nil
	case withForEach:
		const each = "for_each = local.names"
		return []string{head + s.names() + w.identity("svc", each, "each.key") + w.grant("svc", each, "nhi_identity.svc[each.key]")}, nil
	case inBlocks:
		var text strings.Builder
		text.WriteString(head)
		for i := range s.n {
			label := fmt.Sprintf("svc_%d", i)
			text.WriteString(w.identity(label, "", fmt.Sprintf(`"svc-%d"`, i)))
			text.WriteString(w.grant(label, "", "nhi_identity."+label))
		}
		return []string{text.String()}, nil
	case inTwoStates:
		return []string{
			head + w.identity("svc", count, `"svc-${count.index}"`),
			head + w.grant("svc", count, `{ name = "svc-${count.index}", account_names = {} }`),
		}, nil
	case alone:
		return []string{head + w.identity("svc", count, `"svc-${count.index}"`)}, nil
	default:
		return nil, fmt.Errorf("there is no shape %q; there are %s", s.shape, strings.Join(shapes(), ", "))
	}
}

// names is the local value that for_each goes over.
func (s scene) names() string {
	var text strings.Builder
	text.WriteString("locals {\n  names = {\n")
	for i := range s.n {
		fmt.Fprintf(&text, "    svc-%d = %d\n", i, i)
	}
	text.WriteString("  }\n}\n\n")
	return text.String()
}

// writer writes configurations for the platforms of a site.
type writer struct{ at *site }

func (w writer) head(audited bool) string {
	blocks := w.at.blocks
	if audited {
		blocks += "  audit {\n    file { path = \"events.jsonl\" }\n  }\n" // replaced by one that takes a time that is known
	}
	return "terraform {\n  required_providers {\n    nhi = { source = \"nhi-labs/nhi\" }\n  }\n}\n\n" +
		"provider \"nhi\" {\n  stack = \"bench\"\n" + blocks + "}\n\n"
}

// identity is a block with an account on every platform. repeat is its count or for_each, "" if it has none.
func (w writer) identity(label, repeat, name string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "resource \"nhi_identity\" %q {\n  %s\n  name  = %s\n  kind  = \"service_account\"\n  owner = \"team@example.com\"\n",
		label, repeat, name)
	for _, p := range w.at.platforms {
		fmt.Fprintf(&text, "  account { platform = %q }\n", p.name)
	}
	text.WriteString("}\n\n")
	return text.String()
}

func (w writer) grant(label, repeat, identity string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "resource \"nhi_grant\" %q {\n  %s\n  identity = %s\n  entitlements = {\n", label, repeat, identity)
	for _, p := range w.at.platforms {
		fmt.Fprintf(&text, "    %s = %s\n", p.name, list(p.entitlements))
	}
	text.WriteString("  }\n}\n\n")
	return text.String()
}
