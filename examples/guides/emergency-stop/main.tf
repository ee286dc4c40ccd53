terraform {
  required_version = ">= 1.14"
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

provider "nhi" {
  stack = "payments-prod" # the stack of the identities that this can cut off

  postgresql {
    name     = "warehouse"
    host     = "warehouse.internal"
    database = "analytics"
    username = "nhi_admin"
  }

  vault {
    name    = "secrets"
    address = "https://vault.internal:8200"
  }
}

variable "identity" {
  description = "Whom to cut off, or to let in again."
  type        = string
}

action "nhi_suspend" "stop" {
  config {
    identity = var.identity
  }
}

action "nhi_resume" "resume" {
  config {
    identity = var.identity
  }
}
