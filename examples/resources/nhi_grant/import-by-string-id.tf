import {
  to = nhi_grant.billing_agent
  id = "billing-agent:warehouse=svc_billing,secrets=billing-agent"
}
