terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: the service account was made at admin.atlassian.com and has access to the site, the group
# billing-agents and the project BILL exist, and the environment variables NHI_TICKETS_TOKEN and
# NHI_TICKETS_ORGANIZATION_KEY hold an API token of the administrator and an API key of the organization.
provider "nhi" {
  stack = "example"

  jira {
    name     = "tickets"
    url      = "https://example.atlassian.net"
    username = "terraform@example.com"
    projects = ["BILL"] # leave it out to see the roles of all projects
  }
}

resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account {
    platform = "tickets"
    name     = "712020:b0b5a2f4-1c2d-4e5f-8a9b-0c1d2e3f4a5b"
    adopt    = true # Atlassian's API cannot make accounts
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    tickets = ["group:billing-agents", "project:BILL#Developer"]
  }
}
