package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// kubernetes is an API server with an etcd of its own. No controller and no node runs: ServiceAccounts, roles, bindings,
// Secrets and tokens need none.
type kubernetes struct{}

func (kubernetes) name() string { return "kubernetes" }

func (kubernetes) install(ctx context.Context) error {
	_, errEtcd := programs.Etcd(ctx, os.Stderr)
	_, errServer := programs.KubeAPIServer.Path(ctx, os.Stderr)
	return errors.Join(errEtcd, errServer)
}

func (kubernetes) start(ctx context.Context, p *place, all *testenv.Servers) error {
	etcd, errEtcd := programs.Etcd(ctx, os.Stderr)
	server, errServer := programs.KubeAPIServer.Path(ctx, os.Stderr)
	clients, errClients := freePort()
	peers, errPeers := freePort()
	port, errPort := freePort()
	if err := errors.Join(errEtcd, errServer, errClients, errPeers, errPort); err != nil {
		return err
	}
	all.Kubernetes = testenv.Kubernetes{
		Address: fmt.Sprintf("https://127.0.0.1:%d", port), CAFile: filepath.Join(p.dir, "ca.pem"), Token: "admin-" + randomText(),
	}
	if err := kubernetesPrepare(p.dir, all.Kubernetes); err != nil {
		return err
	}
	storage, peer := fmt.Sprintf("http://127.0.0.1:%d", clients), fmt.Sprintf("http://127.0.0.1:%d", peers)
	err := p.spawn(spawn{path: etcd, args: []string{
		"--data-dir", filepath.Join(p.dir, "etcd"), "--unsafe-no-fsync", // The data need not survive the machine.
		"--listen-client-urls", storage, "--advertise-client-urls", storage,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
	}})
	if err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(p.dir, name) }
	return p.spawn(spawn{path: server, args: []string{
		"--etcd-servers=" + storage, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + file("server.crt"), "--tls-private-key-file=" + file("server.key"),
		"--service-account-key-file=" + file("accounts.key"), "--service-account-signing-key-file=" + file("accounts.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24",
		"--authorization-mode=RBAC", "--token-auth-file=" + file("tokens.csv"), "--endpoint-reconciler-type=none",
		"--disable-admission-plugins=ServiceAccount",
	}})
}

// kubernetesPrepare writes the certificate, the key that signs tokens, and the administrator's token.
func kubernetesPrepare(dir string, server testenv.Kubernetes) error {
	authority, certificate, key, err := newCertificate("127.0.0.1", "localhost")
	if err != nil {
		return err
	}
	accounts, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"server.crt":   certificate,
		"server.key":   key,
		"accounts.key": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(accounts)}),
		"tokens.csv":   []byte(server.Token + ",admin,admin,system:masters\n"),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(server.CAFile, authority, 0o644)
}

// health waits for the roles and the namespaces that the server makes after its start.
func (kubernetes) health(ctx context.Context, all testenv.Servers) error {
	authority, err := os.ReadFile(all.Kubernetes.CAFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/readyz", "/api/v1/namespaces/kube-system", "/api/v1/namespaces/default"} {
		err := httpOKWith(ctx, client, all.Kubernetes.Address+path, "Authorization", "Bearer "+all.Kubernetes.Token)
		if err != nil {
			return err
		}
	}
	return nil
}

func (kubernetes) describe(all testenv.Servers) string { return all.Kubernetes.Address }
