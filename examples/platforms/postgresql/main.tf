terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: the database, the role nhi_admin (see the guide for its least privileges), the role reporting
# and the table exist, and the environment variable NHI_WAREHOUSE_PASSWORD holds the password of nhi_admin.
provider "nhi" {
  stack = "example"

  postgresql {
    name              = "warehouse"
    host              = var.host
    database          = "analytics"
    username          = "nhi_admin"
    sslrootcert       = var.ca_file
    reassign_owned_to = "app_owner"
  }
}

variable "host" {
  type    = string
  default = "warehouse.internal"
}

variable "ca_file" {
  description = "The authorities that may have signed the server's certificate; null: those of the system."
  type        = string
  default     = null
}

resource "nhi_identity" "billing_agent" {
  name       = "billing-agent"
  kind       = "ai_agent"
  owner      = "team-billing@example.com"
  expires_at = "2031-06-30T00:00:00Z"

  account {
    platform = "warehouse"

    postgresql {
      connection_limit = 5
    }
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    warehouse = [
      "database:analytics#connect",
      "role:reporting",
      "schema:finance#usage",
      "table:finance.invoices#select",
    ]
  }
}
