package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// testbed reads where the servers are.
func testbed() (testenv.Servers, error) {
	path, err := testenv.Path()
	if err != nil {
		return testenv.Servers{}, err
	}
	servers, err := testenv.Read(path)
	if err != nil {
		return servers, fmt.Errorf("%w (%w)", errNoServers, err)
	}
	if servers.PostgreSQL.Host == "" || servers.Vault.Address == "" || servers.SCIM.URL == "" {
		return servers, errNoServers
	}
	return servers, nil
}

// openServers puts the scene on all three servers, two entitlements on each.
func (s scene) openServers(ctx context.Context, out *site) error {
	servers, err := testbed()
	if err != nil {
		return err
	}
	warehouse := benchRights()[:2]
	if err := s.postgresql(ctx, out, servers.PostgreSQL, platformNames[0], warehouse); err != nil {
		return err
	}
	policies := []string{"bench-read", "bench-write"}
	if err := prepareVault(ctx, servers.Vault, policies); err != nil {
		return err
	}
	vault := &meter{}
	address, stop, err := farHTTP(servers.Vault.Address, s.latency, vault)
	if err != nil {
		return err
	}
	out.stops = append(out.stops, func() error { stop(); return nil })
	out.add(placed{name: platformNames[1], kind: "vault", entitlements: []string{"policy:bench-read", "policy:bench-write"}, meter: vault},
		"  vault {\n    name    = %q\n    address = %q\n    token   = %q\n  }\n", platformNames[1], address, servers.Vault.Token)
	scim := &meter{}
	url, stop, err := farHTTP(servers.SCIM.URL, s.latency, scim)
	if err != nil {
		return err
	}
	out.stops = append(out.stops, func() error { stop(); return nil })
	out.scim(platformNames[2], url, servers.SCIM.Token, scim)
	return nil
}

// openPostgreSQL puts the scene on PostgreSQL alone, with six rights, for both providers.
func (s scene) openPostgreSQL(ctx context.Context, out *site) error {
	servers, err := testbed()
	if err != nil {
		return err
	}
	return s.postgresql(ctx, out, servers.PostgreSQL, platformNames[0], benchRights())
}

// benchRights are the rights of an identity on PostgreSQL, of several kinds as in real use.
func benchRights() []string {
	return []string{
		"role:bench_reporting", "table:bench.invoices#select", "table:bench.ledger#insert", "role:bench_audit", "schema:bench#usage",
		"sequence:bench.numbers#usage",
	}
}

const (
	prepareSQL = `create schema bench; create table bench.invoices (id int); create table bench.ledger (id int);
		create sequence bench.numbers; create role bench_reporting nologin; create role bench_audit nologin`
	// A run that failed may have left its accounts.
	cleanSQL = `drop schema if exists bench cascade; drop role if exists bench_reporting, bench_audit;
		do $$ declare r text; begin
			for r in select quote_ident(rolname) from pg_roles where rolname ~ '^svc-[0-9]+$' loop
				execute 'drop owned by ' || r; execute 'drop role ' || r;
			end loop;
		end $$`
)

// postgresql puts one platform on the server. Both providers speak TLS with it and verify its certificate.
func (s scene) postgresql(ctx context.Context, out *site, server testenv.PostgreSQL, name string, rights []string) error {
	if err := execute(ctx, server, cleanSQL+";"+prepareSQL); err != nil {
		return err
	}
	out.stops = append(out.stops, func() error { return execute(context.WithoutCancel(ctx), server, cleanSQL) })
	m := &meter{}
	far, err := newFarTCP(net.JoinHostPort(server.Host, strconv.Itoa(server.Port)), s.latency, m)
	if err != nil {
		return err
	}
	out.stops = append(out.stops, func() error { far.close(); return nil })
	out.add(placed{name: name, kind: "postgresql", entitlements: rights, meter: m},
		"  postgresql {\n    name        = %q\n    host        = %q\n    port        = %d\n    database    = %q\n    username    = %q\n"+
			"    password    = %q\n    sslrootcert = %q\n  }\n",
		name, server.Host, far.port(), server.Database, server.Username, server.Password, server.CAFile)
	out.peer = peerSettings{database: server.Database, arguments: fmt.Sprintf("  host        = %q\n  port        = %d\n"+
		"  database    = %q\n  username    = %q\n  password    = %q\n  sslmode     = \"verify-full\"\n  sslrootcert = %q\n",
		server.Host, far.port(), server.Database, server.Username, server.Password, server.CAFile)}
	return nil
}

// execute runs statements as the administrator.
func execute(ctx context.Context, server testenv.PostgreSQL, statements string) error {
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d dbname=%s user=%s sslmode=verify-full sslrootcert='%s'",
		server.Host, server.Port, server.Database, server.Username, server.CAFile))
	if err != nil {
		return err
	}
	config.Password = server.Password
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // the statements are done
	_, err = conn.PgConn().Exec(ctx, statements).ReadAll()
	return err
}

// prepareVault enables what the provider needs and makes the policies.
func prepareVault(ctx context.Context, server testenv.Vault, policies []string) error {
	put := func(path string, body map[string]string) (int, error) {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.Address+"/v1/"+path, bytes.NewReader(text))
		if err != nil {
			return 0, err
		}
		req.Header.Set("X-Vault-Token", server.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	// 400: it is enabled already.
	if status, err := put("sys/auth/approle", map[string]string{"type": "approle"}); err != nil || status >= 300 && status != 400 {
		return fmt.Errorf("enable AppRole: status %d: %w", status, err)
	}
	for _, name := range policies {
		policy := map[string]string{"policy": `path "secret/data/` + strings.TrimPrefix(name, "bench-") + `" { capabilities = ["read"] }`}
		if status, err := put("sys/policies/acl/"+name, policy); err != nil || status >= 300 {
			return fmt.Errorf("write the policy %s: status %d: %w", name, status, err)
		}
	}
	return nil
}
