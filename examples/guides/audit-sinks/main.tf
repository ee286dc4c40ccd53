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
    required = true # nothing is changed that no sink has heard of

    syslog {
      address      = "siem.internal:6514"
      ca_cert_file = "/etc/ssl/siem-ca.pem"
    }
    splunk {
      url   = "https://splunk.internal:8088" # token: NHI_AUDIT_SPLUNK_TOKEN
      index = "identity"
    }
    webhook {
      name     = "governance" # secret: NHI_AUDIT_GOVERNANCE_SECRET
      url      = "https://governance.internal/hooks/nhi"
      outcomes = ["succeeded", "failed"]
    }
    file {
      name       = "access"
      path       = "access.jsonl"
      activities = ["grant", "revoke"]
      platforms  = ["warehouse"]
    }
  }
}
