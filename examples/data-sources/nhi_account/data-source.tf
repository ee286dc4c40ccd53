data "nhi_account" "billing_agent" {
  platform = "warehouse"
  name     = "billing-agent"
}

output "billing_agent_was_made_by" {
  value = data.nhi_account.billing_agent.stack
}

output "credentials_of_billing_agent" {
  value = { for c in data.nhi_account.billing_agent.credentials : c.id => c.created_at }
}
