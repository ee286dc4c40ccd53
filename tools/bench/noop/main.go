// Command noop is a provider with the schemas of the real one that touches nothing: what Terraform and the plugin
// framework cost by themselves.
package main

import (
	"log"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/provider"

	product "github.com/nhi-labs/terraform-provider-nhi/internal/provider"
	"github.com/nhi-labs/terraform-provider-nhi/tools/bench/internal/usage"
)

func main() {
	newProvider := func() provider.Provider { return &noopProvider{shape: product.New("bench", time.Now)()} }
	if err := usage.Measure(func() error { return usage.Serve(newProvider) }); err != nil {
		log.Fatal(err)
	}
}
