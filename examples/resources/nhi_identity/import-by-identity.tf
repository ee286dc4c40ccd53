import {
  to = nhi_identity.billing_agent
  identity = {
    name     = "billing-agent"
    accounts = ["warehouse=billing-agent", "secrets=billing-agent", "sap=T_BILLING_AGENT"] # default: all that carry its mark or name
    kind     = "ai_agent"                                                                  # no platform knows these two
    owner    = "team-billing@example.com"
  }
}
