resource "nhi_rotation" "warehouse" {
  identity     = nhi_identity.billing_agent
  platform     = "warehouse"
  rotate_every = "720h"
  overlap      = "24h"

  # The first is written first, and so on. What was interrupted goes on from there.
  deliver {
    platform = "secrets"
    path     = "kv/billing-agent/warehouse"
  }
  deliver {
    platform = "secrets"
    path     = "kv/ci/billing"
    fields = {
      DATABASE_URL = "postgres://{{login_urlencoded}}:{{secret_urlencoded}}@warehouse.internal/analytics"
    }
  }
}

# An AppRole of Vault itself, rotated when the team changes, never by time.
resource "nhi_rotation" "secrets" {
  identity = nhi_identity.billing_agent
  platform = "secrets"
  overlap  = "1h"

  rotate_when_changed = {
    offboarding = "2030-03-01"
  }

  deliver {
    platform = "secrets"
    path     = "kv/billing-agent/vault"
    fields = {
      role_id   = "{{login}}"
      secret_id = "{{secret}}"
    }
  }
}
