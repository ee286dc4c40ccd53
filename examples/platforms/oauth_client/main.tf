terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: the environment variables NHI_LOGIN_INITIAL_ACCESS_TOKEN and NHI_SECRETS_TOKEN hold the
# authorization server's initial access token and a token of Vault.
provider "nhi" {
  stack = "example"

  oauth_client {
    name              = "login"
    issuer            = "https://login.example.com"
    registry_platform = "secrets" # keeps the registration access tokens
    registry_path     = "kv/nhi/oauth-clients"
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

  account { platform = "login" }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    login = ["scope:tickets:read"]
  }
}

# The agent reads its private key from Vault and logs in with private_key_jwt.
resource "nhi_rotation" "billing_agent" {
  identity     = nhi_identity.billing_agent
  platform     = "login"
  rotate_every = "720h"
  overlap      = "24h"

  deliver {
    platform = "secrets"
    path     = "kv/billing-agent/login"
  }
}
