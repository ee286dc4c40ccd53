#!/bin/sh
# For a scheduled pipeline. It fails on drift, and also if the platforms could not be read.
terraform plan -detailed-exitcode -input=false -lock=false -out=drift.tfplan
case $? in
0) echo "No drift." ;;
2) echo "Somebody changed access outside of Terraform: see the plan above." && exit 2 ;;
*) echo "The platforms could not be read, so nothing is known." && exit 1 ;;
esac
