# What nobody manages yet.
data "nhi_accounts" "unmanaged" {
  platforms  = ["warehouse", "sap"]
  managed_by = "nobody"
  disabled   = false
}

# Service accounts whose credentials are older than 90 days, on every platform.
data "nhi_accounts" "old_credentials" {
  name                   = "svc_*"
  credentials_older_than = "2160h"
}

output "unmanaged" {
  value = [for a in data.nhi_accounts.unmanaged.accounts : "${a.platform}/${a.name}"]
}
