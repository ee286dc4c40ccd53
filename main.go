// Command terraform-provider-nhi serves the nhi provider to Terraform and OpenTofu.
package main

import (
	"context"
	"flag"
	"log"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

// version is set by the release build.
var version = "dev"

func main() {
	debug := flag.Bool("debug", false, "run so that a debugger can be attached (prints TF_REATTACH_PROVIDERS)")
	flag.Parse()
	err := providerserver.Serve(context.Background(), provider.New(version, time.Now), providerserver.ServeOpts{
		Address: "registry.terraform.io/nhi-labs/nhi",
		Debug:   *debug,
	})
	if err != nil {
		log.Fatal(err)
	}
}
