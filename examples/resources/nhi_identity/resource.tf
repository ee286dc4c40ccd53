resource "nhi_identity" "billing_agent" {
  name       = "billing-agent"
  kind       = "ai_agent"
  owner      = "team-billing@example.com"
  purpose    = "Reads invoices, opens dispute tickets"
  enabled    = true # false suspends it on every platform
  expires_at = "2031-06-30T00:00:00Z"

  account {
    platform = "warehouse"

    postgresql {
      connection_limit = 5
    }
  }

  account {
    platform = "secrets"
  }

  account {
    platform = "sap"
    name     = "T_BILLING_AGENT" # default: the identity's name
  }
}
