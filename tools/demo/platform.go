package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// platform is one of the company's systems, used with its own tools and not through the provider.
type platform interface {
	name() string
	// block is the platform in the provider's configuration.
	block() string
	// env holds what the block leaves out: secrets.
	env() []string
	// prepare makes what the story presupposes: tables, groups, policies.
	prepare(ctx context.Context) error
	// dump says what the system shows of the agent: a line with the account and its status, then its entitlements,
	// sorted, each on an indented line; or the text nothing.
	dump(ctx context.Context) (string, error)
	// grant gives the agent an entitlement by hand and returns the command, as an administrator would type it.
	grant(ctx context.Context, text string) (command string, err error)
	// newLogin gives the agent a way to log in.
	newLogin(ctx context.Context) error
	// login logs the agent in. If the system refuses, the error is errRefused.
	login(ctx context.Context) error
	// loginMeans says in a few words what login does.
	loginMeans() string
}

// nothing is what a platform without the agent shows.
const nothing = "no accounts\n"

var errRefused = errors.New("login refused")

// The names of the platforms.
const (
	warehouse = "warehouse"
	secrets   = "secrets"
	sap       = "sap"
)

// entitlement is one that the story talks of.
type entitlement struct{ platform, text string }

func declared() []entitlement {
	return []entitlement{
		{warehouse, "role:reporting"},
		{warehouse, "table:finance.invoices#select"},
		{secrets, "policy:billing-read"},
		{sap, "group:Billing Viewers"},
	}
}

func byHand() []entitlement {
	return []entitlement{{warehouse, "table:finance.salaries#select"}, {sap, "group:Billing Admins"}}
}

func textsOn(all []entitlement, platform string) []string {
	var texts []string
	for _, e := range all {
		if e.platform == platform {
			texts = append(texts, e.text)
		}
	}
	return texts
}

// account is the agent's account on a platform.
func account(platform string) string {
	if platform == sap {
		return "T_BILLING_AGENT"
	}
	return "billing-agent"
}

// shown is what dump returns for an account.
func shown(account string, active bool, entitlements []string) string {
	status := "active"
	if !active {
		status = "suspended"
	}
	slices.Sort(entitlements)
	var text strings.Builder
	fmt.Fprintf(&text, "%s  %s\n", account, status)
	for _, e := range entitlements {
		fmt.Fprintf(&text, "    %s\n", e)
	}
	return text.String()
}

// configuration is what the team writes.
func configuration(platforms []platform, enabled bool) string {
	var text strings.Builder
	text.WriteString(`terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

provider "nhi" {
  stack = "demo"

`)
	for _, p := range platforms {
		text.WriteString(p.block())
	}
	fmt.Fprintf(&text, `}

resource "nhi_identity" "billing_agent" {
  name    = "billing-agent"
  kind    = "ai_agent"
  owner   = "team-billing@example.com"
  purpose = "Reads invoices, opens dispute tickets"
  enabled = %t

  account { platform = "warehouse" }
  account { platform = "secrets" }
  account {
    platform = "sap"
    name     = "T_BILLING_AGENT"
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    warehouse = ["role:reporting", "table:finance.invoices#select"]
    secrets   = ["policy:billing-read"]
    sap       = ["group:Billing Viewers"]
  }
  justification = "CHG-4711"
}
`, enabled)
	return text.String()
}
