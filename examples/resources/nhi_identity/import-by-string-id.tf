import {
  to = nhi_identity.billing_agent
  id = "billing-agent:warehouse,secrets,sap=T_BILLING_AGENT"
}
