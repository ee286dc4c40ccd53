package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
)

// State is what a state file records of access.
type State struct {
	resources []resource
	waiting   []audit.Waiting
}

type resource struct {
	Mode      string     `json:"mode"`
	Type      string     `json:"type"`
	Name      string     `json:"name"`
	Instances []instance `json:"instances"`
}

type instance struct {
	Attributes attributes `json:"attributes"`
}

// attributes are those of all resources of the provider that say who has access.
type attributes struct {
	Accounts map[string]struct {
		Name   string `json:"name"`
		Target string `json:"target"`
		Status string `json:"status"`
	} `json:"accounts"`
	Identity *struct {
		Name         string            `json:"name"`
		AccountNames map[string]string `json:"account_names"`
	} `json:"identity"`
	Entitlements map[string][]string `json:"entitlements"`
	Targets      map[string]string   `json:"targets"`
	Platform     string              `json:"platform"`
	Credentials  []struct {
		Label string `json:"label"`
		ID    string `json:"id"`
	} `json:"credentials"`
	Delivered []struct {
		Platform string `json:"platform"`
		Path     string `json:"path"`
	} `json:"delivered"`
	Undelivered []string `json:"undelivered"`
}

// ReadState reads a state file of Terraform or OpenTofu: version 4, which both write since 2019. Resources of other
// providers are left out.
func ReadState(r io.Reader) (State, error) {
	var file struct {
		Version   int               `json:"version"`
		Resources []json.RawMessage `json:"resources"`
	}
	if err := json.NewDecoder(r).Decode(&file); err != nil {
		return State{}, fmt.Errorf("no state: %w", err)
	}
	if file.Version != 4 {
		return State{}, fmt.Errorf("a state of version %d; only version 4 is known. An encrypted state must be decrypted first, "+
			"for example by `terraform state pull` or `tofu state pull`", file.Version)
	}
	var state State
	for _, raw := range file.Resources {
		var head struct{ Mode, Type, Name string }
		if err := json.Unmarshal(raw, &head); err != nil {
			return State{}, fmt.Errorf("no state: %w", err)
		}
		if head.Mode != "managed" || head.Type != "nhi_identity" && head.Type != "nhi_grant" && head.Type != "nhi_rotation" {
			continue
		}
		var r resource
		if err := json.Unmarshal(raw, &r); err != nil {
			return State{}, fmt.Errorf("%s.%s: %w", head.Type, head.Name, err)
		}
		for _, i := range r.Instances {
			waiting, err := audit.ParseWaiting(i.Attributes.Undelivered)
			if err != nil {
				return State{}, fmt.Errorf("%s.%s: %w", head.Type, head.Name, err)
			}
			state.waiting = append(state.waiting, waiting...)
		}
		state.resources = append(state.resources, r)
	}
	return state, nil
}

// accountName is the account of the identity that a grant or a rotation refers to.
func (a attributes) account(platform string) (account, error) {
	if a.Identity == nil {
		return account{}, errors.New("no identity")
	}
	name := a.Identity.AccountNames[platform]
	if name == "" {
		name = a.Identity.Name
	}
	return account{a.Targets[platform], name}, nil
}

// addTo adds what the state records to a view.
func (s State) addTo(v *view) {
	for _, r := range s.resources {
		for _, i := range r.Instances {
			a := i.Attributes
			for _, recorded := range a.Accounts {
				there := v.at(account{recorded.Target, recorded.Name})
				there.there, there.suspended = true, recorded.Status == "suspended"
			}
			for platform, texts := range a.Entitlements {
				if key, err := a.account(platform); err == nil {
					v.at(key).entitlements.add(texts...)
				}
			}
			for _, credential := range a.Credentials {
				if key, err := a.account(a.Platform); err == nil {
					label := credential.Label
					if label == "" {
						label = credential.ID
					}
					v.at(key).credentials.add(label)
				}
			}
			for _, d := range a.Delivered {
				v.places[place{a.Targets[d.Platform], d.Path}] = true
			}
		}
	}
}
