data "nhi_platform" "warehouse" {
  name = "warehouse"
}

# The plan warns as long as the provider's account may not do what changes need.
check "warehouse_can_be_managed" {
  assert {
    condition     = length(data.nhi_platform.warehouse.lacking) == 0
    error_message = join(" ", data.nhi_platform.warehouse.lacking)
  }
}
