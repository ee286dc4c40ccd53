# An access matrix, as it comes out of a spreadsheet.
locals {
  matrix = csvdecode(<<-EOT
    type,target,permission
    table,finance.invoices,select
    table,finance.invoices,update
    role,reporting,
  EOT
  )
}

# ["role:reporting", "table:finance.invoices#select", "table:finance.invoices#update"]
output "entitlements" {
  value = toset([for row in local.matrix : provider::nhi::entitlement(row.type, row.target, row.permission)])
}
