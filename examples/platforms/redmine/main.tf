terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: an administrator has switched on the REST API, made the custom field NHI of users (see the guide),
# the project billing and the group Integrations, and the environment variable NHI_TICKETS_API_KEY holds an administrator's
# API key.
provider "nhi" {
  stack = "example"

  redmine {
    name         = "tickets"
    url          = var.url
    email_domain = "bots.example.com"
  }
}

variable "url" {
  type    = string
  default = "https://tickets.internal"
}

resource "nhi_identity" "billing_agent" {
  name       = "billing-agent"
  kind       = "ai_agent"
  owner      = "team-billing@example.com"
  expires_at = "2031-06-30T00:00:00Z"
  on_destroy = "suspend" # deleting a user of Redmine takes its name off its issues and notes

  account {
    platform = "tickets"

    redmine {
      first_name = "Billing"
      last_name  = "Agent"
    }
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    tickets = [
      "group:Integrations",
      "project:billing#Reporter",
    ]
  }
}
