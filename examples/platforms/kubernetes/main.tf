terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: the namespaces agents and billing and the Role deployer in billing exist, and the environment
# variable NHI_CLUSTER_TOKEN holds a token of a ServiceAccount with the ClusterRole that the guide lists.
provider "nhi" {
  stack = "example"

  kubernetes {
    name         = "cluster"
    host         = var.host
    ca_cert_file = var.ca_cert_file
    namespace    = "agents"
  }
}

variable "host" {
  type    = string
  default = "https://kubernetes.internal:6443"
}

variable "ca_cert_file" {
  type    = string
  default = "/etc/nhi/kubernetes-ca.pem"
}

resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account {
    platform = "cluster"

    kubernetes {
      automount_token = false
    }
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    cluster = [
      "namespace:billing#clusterrole:view",
      "namespace:billing#role:deployer",
    ]
  }
}

# A token of the account, renewed every thirty days and kept in a Secret that the agent's pod mounts.
resource "nhi_rotation" "cluster" {
  identity     = nhi_identity.billing_agent
  platform     = "cluster"
  rotate_every = "720h"
  overlap      = "24h"

  deliver {
    platform = "cluster"
    path     = "billing/cluster-token"
  }
}
