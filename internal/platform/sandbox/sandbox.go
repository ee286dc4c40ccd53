// Package sandbox is a whole company's system in one SQLite file: accounts, entitlements, credentials, sessions and
// secrets. It is the platform of the demo, of the provider's own tests, and of anybody who tries the provider. Several
// processes may use one file at the same time.
//
// It is a toy in one respect: what its secret store holds stands in the file in clear. Credentials of accounts do not;
// they are stored as salted hashes and shown once.
package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Config says which file to use.
type Config struct {
	// Path is the file. It is created, readable by its owner only, if it does not exist; its directory is not.
	Path string
	// ReadOnly refuses every change with PermissionDenied, as an administrator's account without rights would. The file
	// must exist.
	ReadOnly bool
	// CredentialSlots is how many credentials an account can have at once. 0 means 2.
	CredentialSlots int
}

// defaultSlots is how many credentials an account can have at once, unless the configuration says otherwise.
const defaultSlots = 2

// maxName is the longest account name in bytes.
const maxName = 255

// The settings of an account.
const (
	settingDescription = "description"
	settingMaxSessions = "max_sessions"
)

// Spec describes the kind.
func Spec() driver.Spec {
	return driver.Spec{
		Kind:     "sandbox",
		Title:    "Sandbox",
		Evidence: "real server",
		Grammar:  grammar(),
		Capabilities: []driver.Capability{
			driver.CanSuspend, driver.CanSweep, driver.CanIssue, driver.CanVerify, driver.CanEndSessions, driver.CanStoreSecrets,
			driver.CanExplain,
		},
		CheckAccountName: checkAccountName,
		Settings: []driver.Setting{
			{Name: settingDescription, Description: "A text for people. Default: empty."},
			{Name: settingMaxSessions, Description: "How many sessions the account may have at once; `0`, the default, is any number."},
		},
		NativeExpiry: true,
		TellsLastUse: true,
	}
}

func checkAccountName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("it has %d bytes; use at most %d", len(name), maxName)
	}
	return nil
}

// checkSettings refuses settings that the kind does not have, and values that are not canonical.
func checkSettings(settings map[string]string) error {
	for name, value := range settings {
		switch name {
		case settingDescription:
			if !utf8.ValidString(value) {
				return driver.Errorf(driver.Invalid, "the setting %q is not valid UTF-8", name)
			}
		case settingMaxSessions:
			if n, err := strconv.Atoi(value); err != nil || n < 0 || strconv.Itoa(n) != value {
				return driver.Errorf(driver.Invalid, "the setting %q is %q; write a whole number, 0 for no limit", name, value)
			}
		default:
			return driver.Errorf(driver.Invalid, "there is no setting %q", name)
		}
	}
	return nil
}

// sandbox implements driver.Driver and every capability.
type sandbox struct {
	file  *file
	slots int
}

// Open returns a driver for the file that config names. The file is opened, and created, by the first call.
func Open(config Config) (driver.Driver, error) {
	return open(config)
}

func open(config Config) (*sandbox, error) {
	if strings.TrimSpace(config.Path) == "" {
		return nil, errors.New("the sandbox has no path: name a file")
	}
	path, err := filepath.Abs(config.Path)
	if err != nil {
		return nil, fmt.Errorf("sandbox path %q: %w", config.Path, err)
	}
	slots := config.CredentialSlots
	if slots <= 0 {
		slots = defaultSlots
	}
	return &sandbox{file: newFile(path, config.ReadOnly), slots: slots}, nil
}

// Close implements driver.Driver.
func (s *sandbox) Close() error { return s.file.close() }

// Classify implements driver.Driver.
func (s *sandbox) Classify(err error) driver.Verdict { return classify(err) }

// Probe implements driver.Driver. The target's id is a random one that was stored when the file was made, so that a
// copy of the file is the same system and a new file at the same path is another one.
func (s *sandbox) Probe(ctx context.Context) (driver.Target, error) {
	var target driver.Target
	err := s.file.read(ctx, func(tx *sql.Tx) error {
		var id, library string
		row := tx.QueryRowContext(ctx, `SELECT value, sqlite_version() FROM meta WHERE name = 'target'`)
		if err := row.Scan(&id, &library); err != nil {
			return fmt.Errorf("read the sandbox's id: %w", err)
		}
		target = driver.Target{ID: id, Version: fmt.Sprintf("sandbox %s, SQLite %s", moduleVersion(), library)}
		return nil
	})
	if err == nil && s.file.readOnly {
		target.Lacking = []string{"The sandbox is opened read-only: nothing can be changed."}
	}
	return target, err
}

// moduleVersion is the provider's own version: the sandbox is part of it.
func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// notFound is what every method returns for an account that the file does not have.
func notFound(ref nhi.Ref) error {
	if ref.ID != "" {
		return driver.Errorf(driver.NotFound, "the sandbox has no account %q with the id %q", ref.Name, ref.ID)
	}
	return driver.Errorf(driver.NotFound, "the sandbox has no account %q", ref.Name)
}

// isNotFound reports whether err is notFound.
func isNotFound(err error) bool { return driver.CodeOf(err) == driver.NotFound }
