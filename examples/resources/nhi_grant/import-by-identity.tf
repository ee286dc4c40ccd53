import {
  to = nhi_grant.billing_agent
  identity = {
    identity = "billing-agent"
  }
}
