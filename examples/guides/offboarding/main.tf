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

# The date that the people who work on it leave. Changing it rotates every credential that they may have seen.
variable "last_offboarding" {
  type    = string
  default = "2030-03-01"
}

resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account {
    platform = "warehouse"
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    warehouse = ["role:reporting"]
  }
}

resource "nhi_rotation" "billing_agent" {
  identity            = nhi_identity.billing_agent
  platform            = "warehouse"
  rotate_every        = "720h"
  overlap             = "1h"
  rotate_when_changed = { offboarding = var.last_offboarding }

  deliver {
    platform = "secrets"
    path     = "kv/billing-agent/warehouse"
  }
}

# A partner whose contract ends: suspended by the first apply after that date, and on platforms with a native expiry at
# that date. Destroying it keeps the account without a way in, for the records.
resource "nhi_identity" "partner_feed" {
  name       = "partner-feed"
  kind       = "partner_integration"
  owner      = "partner-management@example.com"
  expires_at = "2031-06-30T00:00:00Z"
  on_destroy = "suspend"

  account {
    platform = "warehouse"
  }
}
