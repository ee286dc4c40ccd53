import {
  to = nhi_identity.billing_agent
  id = "billing-agent:warehouse=svc_billing,secrets=billing-agent"
}
