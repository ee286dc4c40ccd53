package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// resolve makes every look-up of a host name go to the name server in NHI_ACC_DNS ("host:port"), if there is one.
func resolve() {
	server := os.Getenv("NHI_ACC_DNS")
	if server == "" {
		return
	}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}}
}

// limitFiles makes the system refuse to let any file grow beyond the number of bytes in the file NHI_ACC_FILE_SIZE, as a
// full disk would. 0 is no limit.
func limitFiles() error {
	path := os.Getenv("NHI_ACC_FILE_SIZE")
	if path == "" {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	limit, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 63)
	if err != nil || limit == 0 {
		return err
	}
	// Without this the system ends the process instead of refusing the write.
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return fmt.Errorf("limit the size of files: %w", err)
	}
	return nil
}
