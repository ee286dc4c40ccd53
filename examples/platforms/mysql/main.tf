terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: an administrator has run schema.sql and admin.sql, the table finance.invoices exists, and the
# environment variable NHI_ORDERS_PASSWORD holds the password of nhi_admin.
provider "nhi" {
  stack = "example"

  mysql {
    name         = "orders"
    host         = var.host
    port         = var.port
    username     = "nhi_admin"
    ca_cert_file = var.ca_file
  }
}

variable "host" {
  type    = string
  default = "orders.internal"
}

variable "port" {
  type    = number
  default = 3306
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
    platform = "orders"
    name     = "billing-agent@10.%" # from anywhere in that network; without a host: from everywhere

    mysql {
      max_user_connections = 5
    }
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    orders = [
      "table:finance.invoices#select",
    ]
  }
}
