locals {
  owners = {
    billing-agent = "team-billing@example.com"
    month-end-job = "team-closing@example.com"
  }
  teams = ["team-billing@example.com", "team-closing@example.com"]
}

# Accounts with the ownership mark of this stack that no resource declares any more.
data "nhi_orphans" "all" {
  declared = keys(local.owners)
}

# The same, and the accounts of identities whose owner is gone.
data "nhi_orphans" "without_owner" {
  declared = [for name, owner in local.owners : name if contains(local.teams, owner)]
}

# The same, and accounts of a declared identity that it does not have: a killed run left them. Identities of other workspaces
# of the stack are named.
data "nhi_orphans" "exact" {
  identities = [nhi_identity.billing_agent]
  declared   = ["month-end-job"]
}

output "orphans" {
  value = [for a in data.nhi_orphans.all.accounts : "${a.platform}/${a.name}"]
}
