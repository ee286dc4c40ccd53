# Read after each rotation, because nhi_rotation.warehouse.current is not known before it.
ephemeral "nhi_credential" "warehouse" {
  platform = "secrets"
  path     = "kv/billing-agent/warehouse"
  label    = nhi_rotation.warehouse.current
}

# Any provider block or write-only argument takes it; here it is a second configuration of this provider.
provider "nhi" {
  alias = "as_billing_agent"
  stack = "payments-prod-agent"

  postgresql {
    name     = "warehouse"
    host     = "warehouse.internal"
    database = "analytics"
    username = ephemeral.nhi_credential.warehouse.login
    password = ephemeral.nhi_credential.warehouse.secret
  }
}
