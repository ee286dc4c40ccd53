terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: the groups exist, and the environment variables NHI_DIRECTORY_PASSWORD and NHI_DOMAIN_PASSWORD hold
# the passwords of the two logins.
provider "nhi" {
  stack = "example"

  ldap {
    name    = "directory"
    dialect = "openldap"
    url     = "ldaps://ldap.example.com"
    bind_dn = "cn=nhi,ou=admins,dc=example,dc=com"
    base_dn = "ou=accounts,dc=example,dc=com"
  }

  ldap {
    name    = "domain"
    dialect = "active_directory"
    url     = "ldaps://dc1.corp.example.com"
    bind_dn = "nhi@corp.example.com"
    base_dn = "OU=Service Accounts,DC=corp,DC=example,DC=com"
  }
}

resource "nhi_identity" "billing_agent" {
  name       = "billing-agent"
  kind       = "ai_agent"
  owner      = "team-billing@example.com"
  expires_at = "2031-06-30T00:00:00Z"

  account {
    platform = "directory"
  }
  account {
    platform = "domain"
    name     = "svc-billing-agent" # a sAMAccountName has 20 characters at most
  }
}

resource "nhi_grant" "billing_agent" {
  identity = nhi_identity.billing_agent

  entitlements = {
    directory = ["group:cn=invoice readers,ou=groups,dc=example,dc=com"]
    domain    = ["group:cn=billing viewers,ou=groups,dc=corp,dc=example,dc=com"]
  }
}
