terraform state pull > state.json
terraform-provider-nhi audit-check -events audit.jsonl -state state.json
