package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

func programNames() []string {
	var names []string
	for _, p := range programs.All() {
		names = append(names, p.Name)
	}
	return names
}

// installAll installs the named servers and programs, or all that a test run needs.
func installAll(ctx context.Context, names []string) error {
	if len(names) == 0 {
		names = serverNames()
	}
	for _, name := range names {
		if err := installOne(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func installOne(ctx context.Context, name string) error {
	if s, err := findServer(name); err == nil {
		return s.install(ctx)
	}
	_, err := programPath(ctx, name)
	return err
}

func printPath(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	path, err := programPath(ctx, args[0])
	if err != nil {
		return err
	}
	fmt.Println(path)
	return nil
}

func programPath(ctx context.Context, name string) (string, error) {
	if name == "terraform" {
		return terraformPath(ctx)
	}
	all := programs.All()
	i := slices.IndexFunc(all, func(p programs.Program) bool { return p.Name == name })
	if i < 0 {
		return "", fmt.Errorf("no program %q: there are terraform, %s", name, strings.Join(programNames(), ", "))
	}
	return all[i].Path(ctx, os.Stderr)
}
