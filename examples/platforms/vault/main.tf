terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: the AppRole auth method and the policy billing-read exist, and the environment variable
# NHI_SECRETS_TOKEN holds a token with the policy that the guide lists.
provider "nhi" {
  stack = "example"

  vault {
    name    = "secrets"
    address = var.address
  }
}

variable "address" {
  type    = string
  default = "https://vault.internal:8200"
}

resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account {
    platform = "secrets"

    vault {
      token_ttl         = "3600s"
      token_max_ttl     = "86400s"
      token_bound_cidrs = "10.0.0.0/8"
    }
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    secrets = ["policy:billing-read"]
  }
}
