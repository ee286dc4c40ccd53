package programs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// install runs build into a temporary directory and renames that to entry: entry is there whole or not at all. While it
// works, other processes that want the same entry wait.
func install(ctx context.Context, entry string, build func(temp string) error) error {
	if exists(entry) {
		return nil
	}
	unlock, err := Lock(ctx, entry+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if exists(entry) {
		return nil
	}
	temp, err := os.MkdirTemp(filepath.Dir(entry), ".building-*")
	if err != nil {
		return err
	}
	if err := build(temp); err != nil {
		return errors.Join(err, os.RemoveAll(temp))
	}
	return os.Rename(temp, entry)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (p Program) build(ctx context.Context, source, temp string, progress io.Writer) error {
	fmt.Fprintf(progress, "building %s %s\n", p.Name, p.Version)
	if p.Package == "" {
		return npmInstall(ctx, source, temp, progress)
	}
	return goBuild(ctx, p, source, temp, progress)
}

func goBuild(ctx context.Context, p Program, source, temp string, progress io.Writer) error {
	output := filepath.Join(temp, p.File)
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", p.Tags, "-ldflags", strings.TrimSpace("-s -w "+p.LDFlags), "-o", output, p.Package)
	cmd.Dir = source
	return run(cmd, progress)
}

func npmInstall(ctx context.Context, source, temp string, progress io.Writer) error {
	if _, err := exec.LookPath("npm"); err != nil {
		if err := Apt(ctx, progress, "nodejs", "npm"); err != nil {
			return err
		}
	}
	err := walkFiles(source, func(name string, content []byte) error {
		target := filepath.Join(temp, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = temp
	return run(cmd, progress)
}

// Cached returns the path of an entry of the cache, which build fills in a temporary directory if it is not there yet.
// What is built must follow from the name.
func Cached(ctx context.Context, name string, build func(temp string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	entry := filepath.Join(cache, name)
	return entry, install(ctx, entry, build)
}

// Apt installs Debian packages, without starting the services in them. It needs root.
func Apt(ctx context.Context, progress io.Writer, packages ...string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing Debian packages: as root, run: apt-get install --no-install-recommends %v", packages)
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	unlock, err := Lock(ctx, filepath.Join(cache, "apt.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	allow, err := forbidServices()
	if err != nil {
		return err
	}
	defer allow()
	for _, args := range [][]string{
		{"update", "-q"},
		append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...),
	} {
		// Another program may hold the package database for a moment.
		args = append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if err := run(cmd, progress); err != nil {
			return err
		}
	}
	return nil
}

// forbidServices keeps packages from starting their services until allow is called, in Debian's way: invoke-rc.d and
// deb-systemd-invoke ask this program first, and 101 means no. A machine that has one already decides itself.
func forbidServices() (allow func(), err error) {
	const policy = "/usr/sbin/policy-rc.d"
	file, err := os.OpenFile(policy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, os.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	allow = func() { _ = os.Remove(policy) }
	_, err = file.WriteString("#!/bin/sh\nexit 101\n")
	if err := errors.Join(err, file.Close()); err != nil {
		allow()
		return nil, err
	}
	return allow, nil
}

func run(cmd *exec.Cmd, progress io.Writer) error {
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	return nil
}
