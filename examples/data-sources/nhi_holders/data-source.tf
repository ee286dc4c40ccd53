# Who can delete invoices, or has a role that includes it? One data source for many entitlements reads the platforms once.
data "nhi_holders" "sensitive" {
  entitlements = ["table:finance.invoices#delete", "role:finance_admin"]
}

output "who_can_delete_invoices" {
  value = toset([
    for h in data.nhi_holders.sensitive.holders : "${h.platform}/${h.account}" if h.entitlement == "table:finance.invoices#delete"
  ])
}
