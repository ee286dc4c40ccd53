module github.com/nhi-labs/terraform-provider-nhi/tools

go 1.26

require github.com/nhi-labs/terraform-provider-nhi v0.0.0-00010101000000-000000000000

replace github.com/nhi-labs/terraform-provider-nhi => ../
