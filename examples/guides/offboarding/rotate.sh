# Somebody has left: rotate what they may have seen.
terraform apply -var=last_offboarding=2030-06-15
