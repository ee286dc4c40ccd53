package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"

	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// installNode makes a program that runs on Node.js available, and Node.js with it.
func installNode(ctx context.Context, p programs.Program) error {
	if _, err := exec.LookPath("node"); err != nil {
		if err := programs.Apt(ctx, os.Stderr, "nodejs", "npm"); err != nil {
			return err
		}
	}
	_, err := p.Path(ctx, os.Stderr)
	return err
}

// spawnNode starts such a program, whose one argument is the port.
func spawnNode(ctx context.Context, p *place, program programs.Program, port int, env ...string) error {
	script, err := program.Path(ctx, os.Stderr)
	if err != nil {
		return err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return err
	}
	return p.spawn(spawn{path: node, args: []string{script, strconv.Itoa(port)}, env: env})
}
