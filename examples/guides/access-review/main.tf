terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

provider "nhi" {
  stack = "example"

  sandbox {
    name = "company"
    path = "company.db"
  }
}

locals {
  identities = {
    billing-agent = { owner = "team-billing@example.com", company = ["group:Billing Viewers", "role:reporting"] }
    month-end-job = { owner = "team-closing@example.com", company = ["table:finance.invoices#delete"] }
  }
  owners    = ["team-billing@example.com", "team-closing@example.com"] # from the company's directory
  sensitive = [provider::nhi::entitlement("table", "finance.invoices", "delete"), "role:finance_admin"]
}

resource "nhi_identity" "each" {
  for_each = local.identities
  name     = each.key
  kind     = "workload"
  owner    = each.value.owner

  account {
    platform = "company"
  }
}

resource "nhi_grant" "each" {
  for_each     = local.identities
  identity     = nhi_identity.each[each.key]
  entitlements = { company = each.value.company }
}

# Who holds what is sensitive, whoever granted it.
data "nhi_holders" "sensitive" {
  entitlements = local.sensitive
  depends_on   = [nhi_grant.each]
}

# Everything that the declared identities hold, with the way they come by it.
data "nhi_entitlements" "each" {
  for_each   = nhi_identity.each
  identity   = each.value
  depends_on = [nhi_grant.each]
}

# What nobody manages, and what this stack left behind.
data "nhi_accounts" "unmanaged" {
  managed_by = "nobody"
}

data "nhi_orphans" "all" {
  declared = keys(local.identities)
}

check "sensitive_access_is_declared" {
  assert {
    condition = alltrue([for h in data.nhi_holders.sensitive.holders : h.managed_by == "this_stack"])
    error_message = "Held by accounts that this stack does not manage: ${join("; ", [
      for h in data.nhi_holders.sensitive.holders :
      "${h.platform}/${h.account} ${h.entitlement}" if h.managed_by != "this_stack"
    ])}."
  }
}

check "no_orphans" {
  assert {
    condition     = length(data.nhi_orphans.all.accounts) == 0
    error_message = "Orphans: ${join(", ", [for a in data.nhi_orphans.all.accounts : "${a.platform}/${a.name}"])}."
  }
}

check "every_identity_has_an_owner" {
  assert {
    condition     = alltrue([for i in local.identities : contains(local.owners, i.owner)])
    error_message = "Nobody owns: ${join(", ", [for name, i in local.identities : name if !contains(local.owners, i.owner)])}."
  }
}

# terraform output -raw review > review.csv
output "review" {
  value = join("\n", concat(["owner,identity,platform,account,entitlement,via"], flatten([
    for name, held in data.nhi_entitlements.each : [
      for e in held.entitlements :
      "${local.identities[name].owner},${name},${e.platform},${e.account},${e.entitlement},${join(" > ", e.via)}"
    ]
  ])))
}

output "unmanaged" {
  value = [for a in data.nhi_accounts.unmanaged.accounts : "${a.platform}/${a.name}"]
}
