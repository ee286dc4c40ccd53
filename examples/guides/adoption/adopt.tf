resource "nhi_identity" "billing_agent" {
  name  = "billing-agent"
  kind  = "ai_agent"
  owner = "team-billing@example.com"

  account {
    platform = "warehouse"
    name     = "svc_billing"
    adopt    = true
  }
}
