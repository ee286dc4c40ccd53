// Command terraform-provider-nhi serves the nhi provider to Terraform and OpenTofu. For auditors it compares evidence with
// state:
//
//	terraform-provider-nhi audit-check -events audit.jsonl -state terraform.tfstate
package main

import (
	"errors"
	"flag"
	"log"
	"os"
	"time"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/check"
	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

// version is set by the release build.
var version = "dev"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "audit-check" {
		os.Exit(check.Command(os.Args[2:], os.Stdout, os.Stderr))
	}
	debug := flag.Bool("debug", false, "run so that a debugger can be attached (prints TF_REATTACH_PROVIDERS)")
	flag.Parse()
	server := provider.NewServer(version, time.Now, provider.Hooks{})
	err := server.Serve(*debug)
	// Terraform has its answers, and ends the process two seconds from now.
	if err := errors.Join(err, server.Close()); err != nil {
		log.Fatal(err)
	}
}
