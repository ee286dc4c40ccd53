# terraform apply -invoke=action.nhi_rotate.warehouse
action "nhi_rotate" "warehouse" {
  config {
    identity  = nhi_identity.billing_agent.name
    platform  = nhi_rotation.warehouse.platform
    delivered = nhi_rotation.warehouse.delivered
  }
}
