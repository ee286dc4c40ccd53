package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// redmine is the Redmine that Debian installs, with a database of its own. Debian's own instance only lends its empty
// database.
type redmine struct{}

const (
	redmineHome = "/usr/share/redmine"
	redmineDB   = "/var/lib/dbconfig-common/sqlite3/redmine/instances/default/redmine_default"
	// bundlerVersion is the one that Debian's Redmine is packaged with. A newer one beside it does not find its gems.
	bundlerVersion = "2.3.15"
)

func (redmine) name() string { return "redmine" }

func (redmine) install(ctx context.Context) error {
	if _, err := os.Stat(redmineDB); err == nil {
		return nil
	}
	if err := os.Setenv("BUNDLER_VERSION", bundlerVersion); err != nil { // The package's own scripts run bundler.
		return err
	}
	return programs.Apt(ctx, os.Stderr, "redmine", "redmine-sqlite", "puma", "ruby-sqlite3", "sqlite3")
}

func (redmine) start(ctx context.Context, p *place, all *testenv.Servers) error {
	account, err := systemUser("www-data")
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	key := make([]byte, 20)
	_, _ = rand.Read(key) // It never fails, by contract.
	all.Redmine = testenv.Redmine{URL: fmt.Sprintf("http://127.0.0.1:%d", port), APIKey: hex.EncodeToString(key)}

	home := filepath.Join(p.dir, "redmine")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	database := filepath.Join(home, "redmine.db")
	content, err := os.ReadFile(redmineDB)
	if err != nil {
		return err
	}
	if err := os.WriteFile(database, content, 0o600); err != nil {
		return err
	}
	if account != nil {
		for _, path := range []string{home, database} {
			if err := os.Lchown(path, int(account.Uid), int(account.Gid)); err != nil {
				return err
			}
		}
	}
	sqlite, err := exec.LookPath("sqlite3")
	if err != nil {
		return err
	}
	if err := p.run(spawn{path: sqlite, user: account, args: []string{database}}, redmineSetup(all.Redmine.APIKey)); err != nil {
		return err
	}
	puma, err := exec.LookPath("puma")
	if err != nil {
		return err
	}
	return p.spawn(spawn{
		path: puma, user: account,
		args: []string{"--dir", redmineHome, "-e", "production", "-t", "1:1", "-b", fmt.Sprintf("tcp://127.0.0.1:%d", port), redmineHome + "/config.ru"},
		env: append(compiled(ctx),
			"BUNDLER_VERSION="+bundlerVersion, "RAILS_ENV=production", "REDMINE_INSTANCE=default", "X_DEBIAN_SITEID=default",
			"DATABASE_URL=sqlite3:"+database+"?timeout=60000"),
	})
}

// compiled lets Ruby compile what it runs often, where it can: Redmine then takes a third less of the processor.
func compiled(ctx context.Context) []string {
	if exec.CommandContext(ctx, "/usr/bin/ruby", "--yjit", "-e", "exit RubyVM::YJIT.enabled?").Run() != nil {
		return nil
	}
	return []string{"RUBYOPT=--yjit"}
}

// redmineSetup switches the API on, gives the administrator a key, and makes a fourth role and the custom field for ownership marks:
// what an administrator does in the browser. One thread of Redmine serves all: SQLite refuses writers who meet.
func redmineSetup(key string) string {
	return `pragma journal_mode = wal;
insert into settings (name, value, updated_on) values ('rest_api_enabled', '1', datetime('now'));
insert into tokens (user_id, action, value, created_on, updated_on)
	select id, 'api', '` + key + `', datetime('now'), datetime('now') from users where login = 'admin';
insert into roles (name, position, assignable, builtin, permissions) select 'Auditor', 4, 1, 0, permissions from roles where name = 'Reporter';
insert into custom_fields (type, name, field_format, editable, visible, position) values ('UserCustomField', 'NHI', 'text', 0, 1, 1);
`
}

func (redmine) health(ctx context.Context, all testenv.Servers) error {
	return httpOK(ctx, all.Redmine.URL+"/users/current.json", "X-Redmine-API-Key", all.Redmine.APIKey)
}

func (redmine) describe(all testenv.Servers) string { return all.Redmine.URL }
