# Everything that an identity holds, on every platform, directly and through groups and roles.
data "nhi_entitlements" "billing_agent" {
  identity = nhi_identity.billing_agent
}

# The same for one account, whoever made it.
data "nhi_entitlements" "legacy" {
  platform = "warehouse"
  account  = "svc_legacy"
}

# "warehouse table:finance.invoices#select via role:reporting"
output "what_billing_agent_inherits" {
  value = [
    for e in data.nhi_entitlements.billing_agent.entitlements :
    "${e.platform} ${e.entitlement} via ${join(", ", e.via)}" if !e.direct
  ]
}
