package programs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
)

// Etcd returns the path of etcd: the one on PATH, or that of Debian's package, which is unpacked into the cache and not
// installed, so that no service starts.
func Etcd(ctx context.Context, progress io.Writer) (string, error) {
	if path, err := exec.LookPath("etcd"); err == nil {
		return path, nil
	}
	return unpacked(ctx, progress, "etcd-server", "usr/bin/etcd")
}

// unpacked returns the path of a file of a Debian package, which it downloads and unpacks if the cache does not have it.
func unpacked(ctx context.Context, progress io.Writer, name, file string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	entry := filepath.Join(cache, "debian-"+name)
	err = install(ctx, entry, func(temp string) error {
		download := exec.CommandContext(ctx, "apt-get", "download", "-q", name)
		download.Dir = temp
		if err := run(download, progress); err != nil {
			// The lists of a fresh machine are empty; Apt fetches them.
			if err := errors.Join(Apt(ctx, progress), run(again(ctx, download), progress)); err != nil {
				return err
			}
		}
		archives, err := filepath.Glob(filepath.Join(temp, name+"_*.deb"))
		if err != nil || len(archives) != 1 {
			return errors.Join(err, fmt.Errorf("apt-get download left %d archives of %s", len(archives), name))
		}
		return run(exec.CommandContext(ctx, "dpkg", "-x", archives[0], temp), progress)
	})
	return filepath.Join(entry, filepath.FromSlash(file)), err
}

// again prepares a command that has run to run once more.
func again(ctx context.Context, cmd *exec.Cmd) *exec.Cmd {
	next := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	next.Dir = cmd.Dir
	return next
}
