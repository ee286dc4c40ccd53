# terraform apply -invoke=action.nhi_resume.billing_agent
action "nhi_resume" "billing_agent" {
  config {
    identity = "billing-agent"
  }
}
