package drivertest

import (
	"context"

	"github.com/google/go-cmp/cmp"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

var canStore = []driver.Capability{driver.CanStoreSecrets}

// storeCases are about SecretStore.
var storeCases = []testCase{
	{name: "store/round_trip", needs: canStore, run: storeRoundTrip},
	{name: "store/check_and_set", needs: canStore, run: storeCheckAndSet},
	{name: "store/remove", needs: canStore, run: storeRemove},
	{name: "store/hostile_content", needs: canStore, run: storeHostileContent},
}

// SecretPather is implemented by the harnesses of secret stores whose paths begin in a certain way (with a mount).
type SecretPather interface {
	// SecretPath returns a path at which nothing is stored yet, made from a name that is unique.
	SecretPath(name string) string
}

// path returns a path at which nothing is stored, and empties it when the test ends.
func (k *kit) path() string {
	path := k.name()
	if h, ok := k.h.(SecretPather); ok {
		path = h.SecretPath(path)
	}
	store, ctx := as[driver.SecretStore](k), context.WithoutCancel(k.ctx)
	k.Cleanup(func() {
		if err := store.RemoveSecret(ctx, path); err != nil {
			k.Errorf("clean up secret %q: %v", path, err)
		}
	})
	return path
}

func (k *kit) put(path string, s driver.StoredSecret) int64 {
	k.Helper()
	for _, v := range s.Fields {
		k.remember(v)
	}
	version, err := as[driver.SecretStore](k).PutSecret(k.ctx, path, s)
	if err != nil {
		k.Fatalf("put secret at %q: %v", path, err)
	}
	return version
}

// wantStored checks what is at path.
func (k *kit) wantStored(path string, want driver.StoredSecret) {
	k.Helper()
	got, err := as[driver.SecretStore](k).GetSecret(k.ctx, path)
	if err != nil {
		k.Fatalf("get secret at %q: %v", path, err)
	}
	k.noSecrets("stored secret", got)
	if diff := cmp.Diff(revealed(want), revealed(got)); diff != "" {
		k.Errorf("fields at %q (-want +got):\n%s", path, diff)
	}
	if diff := cmp.Diff(want.Metadata, got.Metadata); diff != "" {
		k.Errorf("metadata at %q (-want +got):\n%s", path, diff)
	}
	if got.Version != want.Version {
		k.Errorf("version at %q is %d, want %d", path, got.Version, want.Version)
	}
}

// revealed returns the texts of what is stored; the suite's own secrets protect nothing.
func revealed(s driver.StoredSecret) map[string]string {
	texts := map[string]string{}
	for name, v := range s.Fields {
		texts[name] = v.Reveal()
	}
	return texts
}

// stored returns a secret that replaces what is at version.
func stored(version int64) driver.StoredSecret {
	return driver.StoredSecret{
		Fields:   map[string]secret.Value{"username": secret.New("user-" + label()), "password": secret.New("pass-" + label())},
		Metadata: map[string]string{"credential": label(), "stage": "pending"},
		Version:  version,
	}
}

func storeRoundTrip(k *kit) {
	path, s := k.path(), stored(0)
	s.Version = k.put(path, s)
	if s.Version != 1 {
		k.Errorf("the first version is %d, want 1", s.Version)
	}
	k.wantStored(path, s)
	next := stored(s.Version)
	next.Version = k.put(path, next)
	if next.Version != 2 {
		k.Errorf("the second version is %d, want 2", next.Version)
	}
	k.wantStored(path, next)
}

func storeCheckAndSet(k *kit) {
	store, path := as[driver.SecretStore](k), k.path()
	_, err := store.PutSecret(k.ctx, path, stored(3))
	k.wantCode(err, "put over version 3 of nothing", driver.Conflict)
	_, err = store.GetSecret(k.ctx, path)
	k.wantCode(err, "get after a refused put", driver.NotFound)

	first := stored(0)
	first.Version = k.put(path, first)
	for _, stale := range []int64{0, 2} {
		refused := stored(stale)
		for _, v := range refused.Fields {
			k.remember(v)
		}
		_, err = store.PutSecret(k.ctx, path, refused)
		k.wantCode(err, "put over another version", driver.Conflict)
		k.wantStored(path, first)
	}
}

func storeRemove(k *kit) {
	store, path := as[driver.SecretStore](k), k.path()
	_, err := store.GetSecret(k.ctx, path)
	k.wantCode(err, "get of nothing", driver.NotFound)
	neighbour := k.path()
	kept := stored(0)
	kept.Version = k.put(neighbour, kept)
	version := k.put(path, stored(0))
	k.put(path, stored(version))
	for range 2 {
		if err := store.RemoveSecret(k.ctx, path); err != nil {
			k.Fatalf("remove: %v", err)
		}
		_, err = store.GetSecret(k.ctx, path)
		k.wantCode(err, "get of a removed secret", driver.NotFound)
	}
	again := stored(0)
	again.Version = k.put(path, again)
	k.wantStored(path, again)
	k.wantStored(neighbour, kept)
}

func storeHostileContent(k *kit) {
	path := k.path()
	s := driver.StoredSecret{
		Fields: map[string]secret.Value{
			"quotes":  secret.New(`it's a "secret"; DROP TABLE secrets; --`),
			"unicode": secret.New("пароль 密码 \u202esecret 🔑"),
			"lines":   secret.New("-----BEGIN KEY-----\nAAAA\r\n\tBBBB\n-----END KEY-----\n"),
			"json":    secret.New(`{"data":{"options":{"cas":0}}}`),
		},
		Metadata: map[string]string{"owner": `o'brien <team@example.com>; "quoted"`, "unicode": "größe 密"},
	}
	s.Version = k.put(path, s)
	k.wantStored(path, s)
}
