package testenv

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestWrittenServersAreReadBackAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers.json")
	want := Servers{
		PostgreSQL: PostgreSQL{Host: "127.0.0.1", Port: 5432, Database: "warehouse", Username: "u", Password: "p"},
		Vault:      Vault{Address: "http://127.0.0.1:8200", Token: "t"},
		SCIM:       SCIM{URL: "http://127.0.0.1:1/scim/v2", Token: "t"},
		CLI:        CLI{Terraform: "/a", TerraformNew: "/b", OpenTofu: "/c"},
	}
	if err := Write(path, Servers{}); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, want); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode is %o, want 600", mode)
	}
	t.Setenv(EnvFile, path)
	if got := Load(t); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".servers-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestReadFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "servers.json")
	if _, err := Read(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v, want not exist", err)
	}
	if err := os.WriteFile(path, []byte(`{"vault":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil {
		t.Error("half a file was read without an error")
	}
}

func TestRootIgnoresNestedModules(t *testing.T) {
	root := t.TempDir()
	nested := filepath.Join(root, "tools", "testbed")
	if err := os.MkdirAll(nested, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, name := range map[string]string{"go.mod": module, "tools/go.mod": module + "/tools"} {
		if err := os.WriteFile(filepath.Join(root, path), []byte("module "+name+"\n\ngo 1.26\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(nested)
	got, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := filepath.EvalSymlinks(root); got != want && got != root {
		t.Errorf("got %s, want %s", got, root)
	}
}
