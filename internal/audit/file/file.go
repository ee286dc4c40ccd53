// Package file is the audit sink that appends to a file: JSON lines, one OCSF event on each.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/nhi-labs/terraform-provider-nhi/internal/audit"
	"github.com/nhi-labs/terraform-provider-nhi/internal/audit/ocsf"
)

// Config says where and how to write.
type Config struct {
	// Path is the file. It is made with mode 0600 if it is not there; its directory is not made. The mode of a file that
	// is there stays as it is.
	Path    string
	Version ocsf.Version
}

// Sink appends events to a file.
type Sink struct{ config Config }

var _ audit.Sink = (*Sink)(nil)

// New returns the sink. It does no I/O.
func New(config Config) *Sink { return &Sink{config: config} }

// Deliver appends e as one line and returns once the system says that it is on the disk. Each delivery opens the file
// anew, so it may be renamed at any time. Any number of processes may write to one file: each event is one write at its
// end, and what a broken write left is ended first.
func (s *Sink) Deliver(ctx context.Context, e audit.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	line, err := ocsf.Encode(s.config.Version, e)
	if err != nil {
		return err
	}
	if err := s.append(ctx, append(line, '\n')); err != nil {
		return fmt.Errorf("audit file: %w", err)
	}
	return nil
}

func (s *Sink) append(ctx context.Context, line []byte) (err error) {
	// Without O_NONBLOCK, opening a pipe that nobody reads would never return.
	f, err := os.OpenFile(s.config.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is no regular file", s.config.Path))
	}
	if err := lock(ctx, f); err != nil {
		return fmt.Errorf("lock %s: %w", s.config.Path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	broken, err := brokenLine(f, info.Size())
	if err != nil {
		return err
	}
	if broken {
		line = append([]byte{'\n'}, line...)
	}
	if _, err := f.Write(line); err != nil {
		return err
	}
	if err := f.Sync(); err != nil || info.Size() > 0 {
		return err
	}
	return syncDirectory(filepath.Dir(s.config.Path))
}

// syncDirectory puts the name of a new file on the disk. Windows does that by itself.
func syncDirectory(path string) (err error) {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	return dir.Sync()
}

// brokenLine reports whether the last line has no end: the disk was full, or the machine went down, in the middle of it.
func brokenLine(f io.ReaderAt, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// Close does nothing: no file stays open.
func (s *Sink) Close() error { return nil }
