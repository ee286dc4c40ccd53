terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

provider "nhi" {
  stack             = "payments-prod"
  retired_platforms = ["old-crm"]

  postgresql {
    name     = "warehouse"
    host     = "warehouse.internal"
    database = "analytics"
    username = "nhi_admin"
  }
}
