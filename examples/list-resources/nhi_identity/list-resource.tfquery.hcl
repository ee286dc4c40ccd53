# Everything that nobody manages and that has been switched off.
list "nhi_identity" "forgotten" {
  provider = nhi

  config {
    managed_by = "nobody"
    disabled   = true
  }
}

# Accounts to adopt, with what is needed to generate their configuration.
list "nhi_identity" "services" {
  provider         = nhi
  include_resource = true
  limit            = 500

  config {
    platforms  = ["warehouse", "secrets"]
    managed_by = "nobody"
    name       = "svc_*"
    kind       = "service_account"
    owner      = "platform-team@example.com"

    # One identity whose accounts have different names.
    accounts = {
      billing = {
        warehouse = "svc_billing"
        secrets   = "svc_billing_prod"
      }
    }
  }
}

# Credentials that are older than 90 days, on whichever account.
list "nhi_identity" "old_credentials" {
  provider = nhi

  config {
    credentials_older_than = "2160h"
  }
}
