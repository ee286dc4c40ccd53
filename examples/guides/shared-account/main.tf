terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

provider "nhi" {
  stack = "payments-prod"

  postgresql {
    name     = "warehouse"
    host     = "warehouse.internal"
    database = "analytics"
    username = "nhi_admin"
  }
}

resource "nhi_identity" "report_job" {
  name  = "report-job"
  kind  = "service_account"
  owner = "team-finance@example.com"

  account {
    platform = "warehouse"
  }
}

resource "nhi_grant" "report_job" {
  identity = nhi_identity.report_job

  entitlements = {
    warehouse = ["role:reporting"]
  }
  tolerate = nhi_grant.report_job_audit.entitlements
}

resource "nhi_grant" "report_job_audit" {
  identity = nhi_identity.report_job

  entitlements = {
    warehouse = ["table:audit.entries#select"]
  }
  exclusive  = false
  expires_at = "2031-01-31T00:00:00Z"
}
