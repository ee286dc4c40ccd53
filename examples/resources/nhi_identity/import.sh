# Every configured platform is searched for the identity's mark, and then for an unmarked account of its name.
terraform import nhi_identity.billing_agent billing-agent

# Accounts with other names, and only the platforms that are named here.
terraform import nhi_identity.billing_agent 'billing-agent:warehouse,secrets,sap=T_BILLING_AGENT'
