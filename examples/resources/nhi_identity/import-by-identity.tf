import {
  to = nhi_identity.billing_agent
  identity = {
    name = "billing-agent"
  }
}
