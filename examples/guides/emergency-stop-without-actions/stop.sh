# Cut off on every platform that answers, without reading anything before.
terraform apply -target=nhi_identity.billing_agent -refresh=false -var='suspended=["billing-agent"]'
