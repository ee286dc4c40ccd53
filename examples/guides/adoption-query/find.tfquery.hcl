list "nhi_identity" "services" {
  provider         = nhi
  include_resource = true
  limit            = 500

  config {
    managed_by = "nobody"
    name       = "svc_*"
    owner      = "platform-team@example.com"
  }
}

list "nhi_grant" "services" {
  provider         = nhi
  include_resource = true
  limit            = 500

  config {
    managed_by = "nobody"
    name       = "svc_*"
  }
}
