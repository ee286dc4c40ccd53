terraform state rm nhi_grant.billing_agent
terraform destroy -refresh=false
