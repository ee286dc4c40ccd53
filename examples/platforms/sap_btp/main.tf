terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: the role collection Billing Viewer exists, and the environment variables
# NHI_BTP_CLIENT_SECRET, NHI_BTP_LEVEL_ABOVE_CLIENT_SECRET, NHI_BTP_SERVICE_MANAGER_CLIENT_SECRET and NHI_SECRETS_TOKEN
# hold the logins.
provider "nhi" {
  stack = "example"

  sap_btp {
    name      = "btp"
    url       = "https://api.authentication.eu10.hana.ondemand.com"
    token_url = "https://my-subaccount.authentication.eu10.hana.ondemand.com/oauth/token"
    client_id = "sb-subaccount!b1"
    origin    = "corporate-idp"

    level_above {
      url       = "https://api.authentication.eu10.hana.ondemand.com"
      token_url = "https://my-global-account.authentication.eu10.hana.ondemand.com/oauth/token"
      client_id = "sb-global-account!b1"
    }

    service_manager {
      url                 = "https://service-manager.cfapps.eu10.hana.ondemand.com"
      token_url           = "https://my-subaccount.authentication.eu10.hana.ondemand.com/oauth/token"
      client_id           = "sb-service-manager!b1"
      service_instance_id = "5f3cd3a0-7d4e-4b0a-9a2e-5d1f6c2b9e10"
    }
  }

  vault {
    name    = "secrets"
    address = "https://vault.example.com:8200"
  }
}

resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account {
    platform = "btp"
    name     = "billing-agent@example.com"
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    btp = ["role_collection:Billing Viewer"]
  }
}

resource "nhi_rotation" "billing_agent" {
  identity     = nhi_identity.billing_agent
  platform     = "btp"
  rotate_every = "720h"
  overlap      = "24h"

  deliver {
    platform = "secrets"
    path     = "kv/billing-agent/btp"
  }
}
