package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync"
)

// Ports are taken from below the range from which Linux serves outgoing connections: those come and go all the time,
// and one of them could take the port between the moment it is found free and the moment the server listens.
const (
	firstPort = 20000
	lastPort  = 32000
)

var (
	givenMutex sync.Mutex
	given      = map[int]bool{}
)

// freePort returns a port of 127.0.0.1 that nothing listens on, never the same one twice.
func freePort() (int, error) {
	givenMutex.Lock()
	defer givenMutex.Unlock()
	for range 1000 {
		n, err := rand.Int(rand.Reader, big.NewInt(lastPort-firstPort))
		if err != nil {
			return 0, err
		}
		port := firstPort + int(n.Int64())
		if given[port] {
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // Somebody else has it.
		}
		given[port] = true
		return port, listener.Close()
	}
	return 0, errors.New("no free port on 127.0.0.1")
}

// randomText is a password or token: nobody can guess it, and a test can look for it in places where it must not be.
func randomText() string { return rand.Text() }

// httpOK fails unless a GET with that header answers 200.
func httpOK(ctx context.Context, url, header, value string) error {
	return httpOKWith(ctx, http.DefaultClient, url, header, value)
}

func httpOKWith(ctx context.Context, client *http.Client, url, header, value string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set(header, value)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	return nil
}
