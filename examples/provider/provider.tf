terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

provider "nhi" {
  stack = "payments-prod" # the ownership mark on every account made here

  postgresql {
    name     = "warehouse"
    host     = "warehouse.internal"
    database = "analytics"
    username = "nhi_admin" # password: environment variable NHI_WAREHOUSE_PASSWORD
  }

  vault {
    name    = "secrets"
    address = "https://vault.internal:8200" # token: NHI_SECRETS_TOKEN
  }

  scim {
    name     = "sap"
    url      = "https://tenant.accounts.ondemand.com/scim"
    dialect  = "sap_cloud_identity"
    username = "terraform" # client id; client secret: NHI_SAP_PASSWORD
  }

  audit {
    syslog { address = "siem.internal:6514" } # every change, to the SIEM
  }
}
