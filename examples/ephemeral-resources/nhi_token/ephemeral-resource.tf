# Minted for this run and revoked when it ends. With account_id it is minted after the account was made.
ephemeral "nhi_token" "billing_agent" {
  platform   = "secrets"
  identity   = nhi_identity.billing_agent
  account_id = nhi_identity.billing_agent.accounts["secrets"].id
}

# What this configuration of the provider does is done as the agent, with exactly what the agent holds.
provider "nhi" {
  alias = "with_token"
  stack = "payments-prod-agent"

  vault {
    name    = "secrets"
    address = "https://vault.internal:8200"
    token   = ephemeral.nhi_token.billing_agent.token
  }
}
