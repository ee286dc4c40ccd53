terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: the group Billing Viewers exists, and the environment variable NHI_SAP_PASSWORD holds the client
# secret of the administration system.
provider "nhi" {
  stack = "example"

  scim {
    name     = "sap"
    url      = "https://${var.tenant}/scim"
    dialect  = "sap_cloud_identity" # leave it out for other SCIM 2.0 services
    username = var.client_id
  }
}

variable "tenant" {
  type    = string
  default = "tenant.accounts.ondemand.com"
}

variable "client_id" {
  description = "Client id of the administration system that the provider logs in as."
  type        = string
  default     = "terraform"
}

resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account {
    platform = "sap"
    name     = "T_BILLING_AGENT"

    scim {
      display_name = "Billing agent"
      email        = "billing-agent@example.com"
    }
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    sap = ["group:Billing Viewers"]
  }
}
