package acctest

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// planFile is the part of a saved plan, as show -json prints it, that says what is there and what is to be done.
type planFile struct {
	Changes []planChange `json:"resource_changes"`
	Drift   []planChange `json:"resource_drift"`
}

// planChange is one resource: Before is what was read back, and in Drift what state said.
type planChange struct {
	Address string `json:"address"`
	Mode    string `json:"mode"`
	Change  struct {
		Actions []string    `json:"actions"`
		Before  *planValues `json:"before"`
		After   *planValues `json:"after"`
	} `json:"change"`
}

type planValues struct {
	Accounts     map[string]StateAccount `json:"accounts"`
	Entitlements map[string][]string     `json:"entitlements"`
}

// observed is what the platforms hold of an identity, read by hand; a platform without an account is missing.
type observed map[string]nhi.Account

// planReading is what a plan has read back and would do with what state has, or with what it imports.
type planReading struct {
	// gone are addresses of resources that were read as deleted.
	gone      []string
	resources []plannedResource
}

type plannedResource struct {
	address string
	// makes is set for a resource that is to be created or replaced, forgets for one that only leaves state.
	makes, forgets bool
	read           *planValues // nil is nothing
}

// readingOf reads the JSON of a saved plan.
func readingOf(plan []byte) (planReading, error) {
	var p planFile
	if err := json.Unmarshal(plan, &p); err != nil {
		return planReading{}, err
	}
	var out planReading
	for _, drift := range p.Drift {
		if slices.Contains(drift.Change.Actions, "delete") || drift.Change.After == nil {
			out.gone = append(out.gone, drift.Address)
		}
	}
	for _, c := range p.Changes {
		if c.Mode == "data" {
			continue
		}
		actions := c.Change.Actions
		out.resources = append(out.resources, plannedResource{
			address: c.Address, makes: slices.Contains(actions, "create"), forgets: slices.Contains(actions, "forget"), read: c.Change.Before,
		})
	}
	return out, nil
}

// absence says where a plan takes something for absent that is there: it would create a resource that state has or that
// the configuration imports, forget one, or has read an account or an entitlement as gone that the platform holds.
func (p planReading) absence(state State, there observed, imports bool) []string {
	var lies []string
	for _, address := range p.gone {
		lies = append(lies, address+" is taken for deleted")
	}
	for _, r := range p.resources {
		known, tainted := stateOf(state, r.address)
		switch {
		case known == nil && imports && r.makes:
			lies = append(lies, r.address+" is created instead of imported")
		case known == nil || tainted: // Terraform itself replaces what could not be made whole
		case r.makes, r.forgets:
			lies = append(lies, r.address+" is created or forgotten, and state has it")
		case r.read == nil:
			lies = append(lies, r.address+" was read as nothing")
		default:
			lies = append(lies, missing(r.address, *known, *r.read, there)...)
		}
	}
	return lies
}

// missing lists what state has and the platforms hold, and what was read back lacks.
func missing(address string, known StateAttributes, read planValues, there observed) []string {
	var lies []string
	for platform := range known.Accounts {
		if _, ok := there[platform]; !ok {
			continue
		}
		if _, ok := read.Accounts[platform]; !ok {
			lies = append(lies, fmt.Sprintf("%s: the account on %s is taken for gone", address, platform))
		}
	}
	for platform, texts := range known.Entitlements {
		held := nhi.Texts(there[platform].Entitlements)
		for _, text := range texts {
			if slices.Contains(held, text) && !slices.Contains(read.Entitlements[platform], text) {
				lies = append(lies, fmt.Sprintf("%s: %s on %s is taken for gone", address, text, platform))
			}
		}
	}
	return lies
}

// stateOf is what state has of a resource, nil if nothing.
func stateOf(state State, address string) (attributes *StateAttributes, tainted bool) {
	for _, r := range state.Resources {
		if address == r.Type+"."+r.Name && len(r.Instances) == 1 {
			return &r.Instances[0].Attributes, r.Instances[0].Status == "tainted"
		}
	}
	return nil, false
}
