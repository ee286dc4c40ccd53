// Command nhi is the provider of this checkout, so that its use of CPU and memory can be measured.
package main

import (
	"log"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
	"github.com/nhi-labs/terraform-provider-nhi/tools/bench/internal/usage"
)

func main() {
	if err := usage.Serve(provider.New("bench", time.Now)); err != nil {
		log.Fatal(err)
	}
}
