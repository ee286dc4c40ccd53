terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: the group analysts exists, and the AWS SDK finds a login (environment, shared files, web identity)
# with the policy that the guide lists.
provider "nhi" {
  stack = "example"

  aws {
    name   = "cloud"
    region = "eu-central-1"
    path   = "/nhi/"
  }
}

resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account {
    platform = "cloud"

    aws {
      permissions_boundary = "arn:aws:iam::123456789012:policy/agents-boundary"
    }
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    cloud = [
      "group:analysts",
      "policy:arn:aws:iam::aws:policy/ReadOnlyAccess",
    ]
  }
}

resource "nhi_rotation" "cloud" {
  identity     = nhi_identity.billing_agent
  platform     = "cloud"
  rotate_every = "720h"
  overlap      = "24h"

  deliver {
    platform = "cloud"
    path     = "nhi/billing-agent/access-key"
    fields = {
      AWS_ACCESS_KEY_ID     = "{{login}}"
      AWS_SECRET_ACCESS_KEY = "{{secret}}"
    }
  }
}
