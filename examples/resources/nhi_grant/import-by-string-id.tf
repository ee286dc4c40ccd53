import {
  to = nhi_grant.billing_agent
  id = "billing-agent:warehouse,secrets,sap=T_BILLING_AGENT"
}
