# What the accounts hold that nobody manages. The same arguments as in a list of nhi_identity find the same identities.
list "nhi_grant" "services" {
  provider         = nhi
  include_resource = true
  limit            = 500

  config {
    platforms  = ["warehouse", "secrets"]
    managed_by = "nobody"
    name       = "svc_*"

    accounts = {
      billing = {
        warehouse = "svc_billing"
        secrets   = "svc_billing_prod"
      }
    }
  }
}
