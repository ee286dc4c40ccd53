package programs

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Etcd returns the path of etcd: the one on PATH, or that of Debian's package, which is unpacked into the cache and not
// installed, so that no service starts.
func Etcd(ctx context.Context, progress io.Writer) (string, error) {
	if path, err := exec.LookPath("etcd"); err == nil {
		return path, nil
	}
	root, err := Unpack(ctx, progress, "etcd-server", "etcd-server")
	return filepath.Join(root, "usr", "bin", "etcd"), err
}

// Unpack downloads Debian packages and unpacks them into the cache, without installing them: packages that conflict with
// each other can be used side by side, and nothing needs root. It returns the directory that stands for "/". name is that
// of the cache entry; other packages need another name.
func Unpack(ctx context.Context, progress io.Writer, name string, packages ...string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	entry := filepath.Join(cache, "debian-"+name)
	err = install(ctx, entry, func(temp string) error {
		fmt.Fprintln(progress, "unpacking", strings.Join(packages, " "))
		if err := downloadPackages(ctx, progress, temp, packages); err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(temp, "*.deb"))
		if err != nil || len(files) != len(packages) {
			return fmt.Errorf("%d of %d packages were downloaded: %w", len(files), len(packages), err)
		}
		for _, file := range files {
			if err := run(exec.CommandContext(ctx, "dpkg", "-x", file, temp), progress); err != nil {
				return err
			}
			if err := os.Remove(file); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("unpack %s: %w", name, err)
	}
	return entry, nil
}

// downloadPackages downloads into dir. The lists of a fresh machine are empty; Apt fetches them.
func downloadPackages(ctx context.Context, progress io.Writer, dir string, packages []string) error {
	download := func() error {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"download", "-q", "-o", "APT::Sandbox::User=root"}, packages...)...)
		cmd.Dir = dir
		return run(cmd, progress)
	}
	if download() == nil {
		return nil
	}
	if err := Apt(ctx, progress); err != nil {
		return err
	}
	return download()
}

// Libraries is the LD_LIBRARY_PATH for programs below an unpacked root.
func Libraries(root string) string {
	found, _ := filepath.Glob(filepath.Join(root, "usr", "lib", "*-linux-gnu")) // The pattern is well-formed.
	more, _ := filepath.Glob(filepath.Join(root, "lib", "*-linux-gnu"))
	return strings.Join(append(found, more...), ":")
}
