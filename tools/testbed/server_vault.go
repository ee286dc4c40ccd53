package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// vault is a development server: one process, unsealed, everything in memory.
type vault struct{}

func (vault) name() string { return "vault" }

func (vault) install(ctx context.Context) error {
	_, err := programs.Vault.Path(ctx, os.Stderr)
	return err
}

func (vault) start(ctx context.Context, p *place, all *testenv.Servers) error {
	binary, err := programs.Vault.Path(ctx, os.Stderr)
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	token := "root-" + randomText()
	all.Vault = testenv.Vault{Address: fmt.Sprintf("http://127.0.0.1:%d", port), Token: token}
	return p.spawn(spawn{
		path: binary,
		args: []string{
			"server", "-dev", "-dev-no-store-token",
			fmt.Sprintf("-dev-listen-address=127.0.0.1:%d", port),
		},
		env: []string{"HOME=" + p.dir, "VAULT_DISABLE_MLOCK=1", "VAULT_DEV_ROOT_TOKEN_ID=" + token},
	})
}

func (vault) health(ctx context.Context, all testenv.Servers) error {
	// Needs a valid token, which sys/health does not.
	return httpOK(ctx, all.Vault.Address+"/v1/auth/token/lookup-self", "X-Vault-Token", all.Vault.Token)
}

func (vault) describe(all testenv.Servers) string { return all.Vault.Address }
