# Rotate now, and nothing else.
terraform apply -target=nhi_rotation.billing_agent -var=rotated=2030-03-01
