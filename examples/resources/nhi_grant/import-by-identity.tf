import {
  to = nhi_grant.billing_agent
  identity = {
    identity = "billing-agent"
    accounts = ["warehouse=billing-agent", "secrets=billing-agent", "sap=T_BILLING_AGENT"] # default: all that carry its mark or name
  }
}
