// Command clockprovider is the provider with a clock that tests can move: NHI_ACC_CLOCK is how much later it believes
// to be.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

func main() {
	later, err := time.ParseDuration(os.Getenv("NHI_ACC_CLOCK"))
	if err != nil {
		log.Fatal(err)
	}
	now := func() time.Time { return time.Now().Add(later) }
	server := provider.NewServer("test", now, provider.Hooks{})
	err = providerserver.Serve(context.Background(), server.Provider,
		providerserver.ServeOpts{Address: "registry.terraform.io/nhi-labs/nhi"})
	if err := errors.Join(err, server.Close()); err != nil {
		log.Fatal(err)
	}
}
