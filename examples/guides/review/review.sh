#!/bin/sh
# For a pull request: who gains and who loses what, as a summary that reviewers read.
set -e
terraform plan -input=false -lock=false -out=review.tfplan >plan.log || { cat plan.log && exit 1; }
{
  echo '```diff'
  terraform show -no-color review.tfplan | sed -E 's/^( *)([-+~])( |\/)/\2\1\3/'
  echo '```'
} >>"${GITHUB_STEP_SUMMARY:-summary.md}"
