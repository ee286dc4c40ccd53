# Everything that the identity's accounts hold becomes the grant's entitlements.
terraform import nhi_grant.billing_agent billing-agent

# Accounts with other names, and only the platforms that are named here.
terraform import nhi_grant.billing_agent 'billing-agent:warehouse,secrets,sap=T_BILLING_AGENT'
