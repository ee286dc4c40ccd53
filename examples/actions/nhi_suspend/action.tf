variable "identity" {
  description = "Whom to cut off."
  type        = string
  default     = "billing-agent"
}

# terraform apply -invoke=action.nhi_suspend.stop -var=identity=billing-agent
action "nhi_suspend" "stop" {
  config {
    identity = var.identity
  }
}

# Only on some platforms, and an account that nobody has marked yet.
action "nhi_suspend" "stop_sap" {
  config {
    identity      = "billing-agent"
    platforms     = ["sap"]
    account_names = { sap = "T_BILLING_AGENT" }
  }
}
