# With enabled = false in the nhi_identity:
terraform apply -refresh=false

# Everything that this configuration gave, wherever it can be reached:
terraform destroy -refresh=false
