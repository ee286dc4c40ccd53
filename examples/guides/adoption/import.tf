import {
  to = nhi_identity.invoice_job
  id = "invoice-job:warehouse=svc_invoices"
}

import {
  to = nhi_grant.invoice_job
  id = "invoice-job:warehouse=svc_invoices"
}

resource "nhi_identity" "invoice_job" {
  name  = "invoice-job"
  kind  = "service_account"
  owner = "team-billing@example.com"

  account {
    platform = "warehouse"
    name     = "svc_invoices"
  }
}

resource "nhi_grant" "invoice_job" {
  identity = nhi_identity.invoice_job

  entitlements = {
    warehouse = ["role:reporting"]
  }
}
