// Command killprovider is the provider with a clock that tests can move, which kills itself after a change on a
// platform: NHI_ACC_CLOCK is how much later it believes to be, NHI_ACC_KILL names a file with the number of changes
// that it may make. The file is counted down, so that processes of one run count together; at 0 the process is gone
// before anything else happens.
package main

import (
	"context"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"

	"github.com/nhi-labs/terraform-provider-nhi/internal/provider"
)

func main() {
	later, err := time.ParseDuration(os.Getenv("NHI_ACC_CLOCK"))
	if err != nil {
		log.Fatal(err)
	}
	c := &countdown{path: os.Getenv("NHI_ACC_KILL")}
	now := func() time.Time { return time.Now().Add(later) }
	err = providerserver.Serve(context.Background(), provider.NewWatched("test", now, c.watch),
		providerserver.ServeOpts{Address: "registry.terraform.io/nhi-labs/nhi"})
	if err != nil {
		log.Fatal(err)
	}
}

type countdown struct {
	path string
	mu   sync.Mutex
}

// watch is called after each change.
func (c *countdown) watch(string, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	content, err := os.ReadFile(c.path)
	if err != nil {
		log.Fatal(err)
	}
	left, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		log.Fatal(err)
	}
	left--
	if err := os.WriteFile(c.path, []byte(strconv.Itoa(left)), 0o600); err != nil {
		log.Fatal(err)
	}
	if left != 0 {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	log.Fatal("the process outlives its own death: ", err)
}
