terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# A platform in a file. It is created by the first run; terraform plan works as it stands.
#
# To change it by hand, in a checkout of the provider:
#   go run ./internal/sandboxctl company.db dump
#   go run ./internal/sandboxctl company.db grant billing-agent "group:Billing Admins"
provider "nhi" {
  stack = "example"

  sandbox {
    name = "company"
    path = "company.db"
  }
}

resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account {
    platform = "company"

    sandbox {
      description  = "Reads invoices"
      max_sessions = 3
    }
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    company = [
      "group:Billing Viewers",
      "policy:billing-read",
      "project:BILL#Developer",
      "role:reporting",
      "table:finance.invoices#select",
    ]
  }
}
