# An identity goes, with everything that it has. The plan lists every access that ends.
terraform plan -destroy -target=nhi_identity.billing_agent -out=offboarding.tfplan
terraform apply offboarding.tfplan
