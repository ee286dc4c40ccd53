# { type = "table", target = "finance.invoices", permission = "select" }
output "parts" {
  value = provider::nhi::parse_entitlement("table:finance.invoices#select")
}

# Everything that a set of entitlements allows to change.
output "changes" {
  value = [
    for text in ["table:finance.invoices#select", "table:finance.invoices#update", "role:reporting"] : text
    if provider::nhi::parse_entitlement(text).permission == "update"
  ]
}
