package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// scim is SCIMMY on Node.js (scim/server.mjs).
type scim struct{}

func (scim) name() string { return "scim" }

func (scim) install(ctx context.Context) error {
	if _, err := exec.LookPath("node"); err != nil {
		if err := programs.Apt(ctx, os.Stderr, "nodejs", "npm"); err != nil {
			return err
		}
	}
	_, err := programs.SCIM.Path(ctx, os.Stderr)
	return err
}

func (scim) start(ctx context.Context, p *place, all *testenv.Servers) error {
	script, err := programs.SCIM.Path(ctx, os.Stderr)
	if err != nil {
		return err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	all.SCIM = testenv.SCIM{URL: fmt.Sprintf("http://127.0.0.1:%d/scim/v2", port), Token: "scim-" + randomText()}
	return p.spawn(spawn{
		path: node,
		args: []string{script, strconv.Itoa(port)},
		env:  []string{"SCIM_TOKEN=" + all.SCIM.Token},
	})
}

func (scim) health(ctx context.Context, all testenv.Servers) error {
	return httpOK(ctx, all.SCIM.URL+"/ServiceProviderConfig", "Authorization", "Bearer "+all.SCIM.Token)
}

func (scim) describe(all testenv.Servers) string { return all.SCIM.URL }
