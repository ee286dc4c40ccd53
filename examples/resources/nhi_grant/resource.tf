resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    warehouse = ["table:finance.invoices#select", "role:reporting"]
    secrets   = ["policy:billing-read"]
    sap       = ["group:Billing Viewers"]
  }
  justification = "CHG-4711"

  # Another grant gives the same account more, for a while.
  tolerate = nhi_grant.billing_migration.entitlements
}

resource "nhi_grant" "billing_migration" {
  identity = nhi_identity.billing_agent

  entitlements = {
    warehouse = ["table:finance.invoices_2030#select"]
  }
  exclusive     = false
  expires_at    = "2031-01-31T00:00:00Z"
  justification = "CHG-4802"
}

# The identity is declared in another workspace.
resource "nhi_grant" "month_end" {
  identity = {
    name          = "month-end-job"
    account_names = { sap = "T_MONTH_END" }
  }

  entitlements = {
    sap = ["group:Period Closing"]
  }
}
