// Command clockprovider is the provider with a clock that tests can move: NHI_ACC_CLOCK is how much later it believes
// to be.
package main

import (
	"errors"
	"log"
	"os"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

func main() {
	later, err := time.ParseDuration(os.Getenv("NHI_ACC_CLOCK"))
	if err != nil {
		log.Fatal(err)
	}
	now := func() time.Time { return time.Now().Add(later) }
	server := provider.NewServer("test", now, provider.Hooks{})
	err = server.Serve(false)
	if err := errors.Join(err, server.Close()); err != nil {
		log.Fatal(err)
	}
}
