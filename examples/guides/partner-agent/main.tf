terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

# Before the first plan: what the roles below name exists, and the environment variables NHI_TICKETS_API_KEY,
# NHI_SECRETS_TOKEN and NHI_WAREHOUSE_PASSWORD hold the logins.
provider "nhi" {
  stack = "partner-agents"

  redmine {
    name         = "tickets"
    url          = "https://tickets.internal"
    email_domain = "bots.example.com"
  }

  vault {
    name    = "secrets"
    address = "https://vault.internal:8200"
  }

  postgresql {
    name     = "warehouse"
    host     = "warehouse.internal"
    database = "analytics"
    username = "nhi_admin"
  }
}

locals {
  # What each role needs, and nothing else.
  roles = {
    ticket-triage = {
      tickets = ["project:billing#Reporter"]
    }
    invoice-reader = {
      secrets   = ["policy:invoice-reader"] # reads kv/data/invoice-reader/*
      warehouse = ["schema:finance#usage", "table:finance.invoices#select"]
    }
    invoice-writer = {
      secrets   = ["policy:invoice-writer"]
      warehouse = ["schema:finance#usage", "table:finance.invoices#insert"]
    }
  }

  # Who has which roles, and when the contract with the partner ends.
  agents = {
    partner-invoice-agent = {
      roles        = ["ticket-triage", "invoice-reader"]
      contract_end = "2031-06-30T00:00:00Z"
    }
    partner-triage-agent = {
      roles        = ["ticket-triage"]
      contract_end = "2032-12-31T00:00:00Z"
    }
  }

  # From both: platform => entitlements, for each agent.
  access = {
    for name, agent in local.agents : name => {
      for platform in distinct(flatten([for role in agent.roles : keys(local.roles[role])])) :
      platform => distinct(flatten([for role in agent.roles : lookup(local.roles[role], platform, [])]))
    }
  }
}

resource "nhi_identity" "agent" {
  for_each = local.agents

  name       = each.key
  kind       = "ai_agent"
  owner      = "partner-management@example.com"
  expires_at = each.value.contract_end

  dynamic "account" {
    for_each = local.access[each.key]

    content {
      platform = account.key
    }
  }
}

resource "nhi_grant" "agent" {
  for_each = local.agents

  identity      = nhi_identity.agent[each.key]
  entitlements  = local.access[each.key]
  justification = "roles: ${join(", ", each.value.roles)}"
}

# An agent reads its password of the warehouse from the secrets manager.
resource "nhi_rotation" "warehouse" {
  for_each = { for name, access in local.access : name => access if can(access.warehouse) }

  identity     = nhi_identity.agent[each.key]
  platform     = "warehouse"
  rotate_every = "720h"
  overlap      = "24h"

  deliver {
    platform = "secrets"
    path     = "kv/invoice-reader/${each.key}"
  }

  depends_on = [nhi_grant.agent]
}
