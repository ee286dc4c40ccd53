terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

provider "nhi" {
  stack = "payments-prod"

  postgresql {
    name     = "warehouse"
    host     = "warehouse.internal"
    database = "analytics"
    username = "nhi_admin"
  }

  vault {
    name    = "secrets"
    address = "https://vault.internal:8200"
  }
}

variable "suspended" {
  description = "Names of identities that are cut off."
  type        = set(string)
  default     = []
}

resource "nhi_identity" "billing_agent" {
  name    = "billing-agent"
  kind    = "ai_agent"
  owner   = "team-billing@example.com"
  enabled = !contains(var.suspended, "billing-agent")

  account {
    platform = "warehouse"
  }
  account {
    platform = "secrets"
  }
}

variable "rotated" {
  description = "Change it to rotate at once."
  type        = string
  default     = ""
}

resource "nhi_rotation" "billing_agent" {
  identity            = nhi_identity.billing_agent
  platform            = "warehouse"
  rotate_every        = "720h"
  rotate_when_changed = { rotated = var.rotated }

  deliver {
    platform = "secrets"
    path     = "kv/billing-agent/warehouse"
  }
}
