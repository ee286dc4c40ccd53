terraform {
  required_providers {
    nhi = { source = "nhi-labs/nhi" }
  }
}

provider "nhi" {
  stack = "payments-prod"

  sandbox {
    name = "warehouse"
    path = "warehouse.db"
  }

  audit {
    required = true

    file {
      path = "audit.jsonl"
    }
  }
}
