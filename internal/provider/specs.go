package provider

import "github.com/nhi-labs/terraform-provider-nhi/internal/driver"

// Specs describes every kind of platform, for the documentation.
func Specs() []driver.Spec {
	var specs []driver.Spec
	for _, k := range kinds() {
		specs = append(specs, k.spec)
	}
	return specs
}
