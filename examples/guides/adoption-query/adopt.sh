# What is there?
terraform query

# As a configuration with its import blocks. The file must not exist yet.
terraform query -generate-config-out=adopted.tf

# N to import, 0 to add, 0 to change, 0 to destroy.
terraform plan -out=adoption.tfplan
terraform apply adoption.tfplan
