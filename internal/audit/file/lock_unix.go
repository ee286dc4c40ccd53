//go:build !windows

package file

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lock keeps other processes that use this package out until the file is closed. Waiting ends with ctx.
func lock(ctx context.Context, f *os.File) error {
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // A descriptor fits an int.
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-retry.C:
		}
	}
}
