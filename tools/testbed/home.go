package main

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// systemUser is whom a server runs as that refuses to run as root: the user that its package made. It is nil, for no change
// of user, if we are not root.
func systemUser(name string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil // No change of user.
	}
	account, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// serverHome makes the directory of a server that runs as account, with a certificate for host (server.crt, server.key)
// whose authority goes to caFile.
func serverHome(home string, account *syscall.Credential, caFile, host string) error {
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	authority, certificate, key, err := newCertificate(host, "localhost")
	if err != nil {
		return err
	}
	files := map[string][]byte{"server.crt": certificate, "server.key": key}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(home, name), content, 0o600); err != nil {
			return err
		}
	}
	if err := os.WriteFile(caFile, authority, 0o644); err != nil {
		return err
	}
	if account == nil {
		return nil
	}
	return filepath.WalkDir(home, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(account.Uid), int(account.Gid))
	})
}
