package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestFreePortCanBeUsedAndIsGivenOnce(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d was given twice", port)
		}
		seen[port] = true
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCertificateIsValidForItsHosts(t *testing.T) {
	authority, certificate, key, err := newCertificate("127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatal("the authority is no certificate")
	}
	for host, valid := range map[string]bool{"127.0.0.1": true, "localhost": true, "127.0.0.2": false} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
		if (err == nil) != valid {
			t.Errorf("%s: valid is %t, want %t: %v", host, err == nil, valid, err)
		}
	}
}

func TestSelectServers(t *testing.T) {
	names := func(selected []server) string {
		var all []string
		for _, s := range selected {
			all = append(all, s.name())
		}
		return strings.Join(all, ",")
	}
	selected, rest, err := selectServers([]string{"--only", "vault,scim", "--", "go", "test"})
	if err != nil || names(selected) != "vault,scim" || strings.Join(rest, " ") != "go test" {
		t.Errorf("got %s %v %v", names(selected), rest, err)
	}
	selected, _, err = selectServers(nil)
	if err != nil || names(selected) != strings.Join(serverNames(), ",") {
		t.Errorf("without --only: got %s %v", names(selected), err)
	}
	if _, _, err := selectServers([]string{"--only", "valt"}); err == nil || !strings.Contains(err.Error(), "vault") {
		t.Errorf("unknown server: got %v, want an error that lists the known ones", err)
	}
}

// TestBedStopsWhatItRecorded goes the way of a testbed that was killed: another one reads its state and stops all.
func TestBedStopsWhatItRecorded(t *testing.T) {
	dir := t.TempDir()
	killed, err := openBed(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	r := &record{Server: "sleep", Dir: data}
	killed.records = append(killed.records, r)
	p := &place{dir: data, logFile: filepath.Join(dir, "log", "sleep.log"), record: r, save: killed.save}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.spawn(spawn{path: sleep, args: []string{"600"}}); err != nil {
		t.Fatal(err)
	}
	killed.close()

	next, err := openBed(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer next.close()
	if len(next.records) != 1 || !next.records[0].Processes[0].alive() {
		t.Fatalf("the state was not read back: %+v", next.records)
	}
	if err := next.down(); err != nil {
		t.Fatal(err)
	}
	if r.Processes[0].alive() {
		t.Error("the process still runs")
	}
	for _, path := range []string{data, next.stateFile()} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", path, err)
		}
	}
}

// A process number that now belongs to another process must not be stopped.
func TestProcessIsKnownByItsStart(t *testing.T) {
	started, err := startTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !(process{PID: os.Getpid(), Started: started}).alive() {
		t.Error("this process counts as ended")
	}
	other := process{PID: os.Getpid(), Started: started + "0"}
	if other.alive() {
		t.Error("another process under the same number counts as ours")
	}
	if err := other.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}
