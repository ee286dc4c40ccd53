package vault_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

func fields(text string) map[string]secret.Value {
	return map[string]secret.Value{"password": secret.New(text)}
}

// TestStoreAfterDeletion deletes the newest version by hand: nothing is there, and the next write goes on from it.
func TestStoreAfterDeletion(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	for _, how := range []string{"data", "destroy"} {
		path := random("deleted")
		version, err := d.PutSecret(t.Context(), s.kv+"/"+path, driver.StoredSecret{Fields: fields("first")})
		must(t, err)
		if how == "data" {
			s.call(t, http.MethodDelete, s.kv+"/data/"+path, "")
		} else {
			s.call(t, http.MethodPut, s.kv+"/destroy/"+path, `{"versions":[1]}`)
		}
		_, err = d.GetSecret(t.Context(), s.kv+"/"+path)
		wantCode(t, d, err, driver.NotFound)
		next, err := d.PutSecret(t.Context(), s.kv+"/"+path, driver.StoredSecret{Fields: fields("second")})
		must(t, err)
		if version != 1 || next != 2 {
			t.Errorf("versions are %d and %d, want 1 and 2", version, next)
		}
		must(t, d.RemoveSecret(t.Context(), s.kv+"/"+path))
	}
}

// TestStoreForeignContent reads what others wrote: values that are not texts.
func TestStoreForeignContent(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	path := random("theirs")
	s.call(t, http.MethodPut, s.kv+"/data/"+path, `{"data":{"port":5432,"tags":["a"],"user":"bot","empty":""}}`)
	got, err := d.GetSecret(t.Context(), s.kv+"/"+path)
	must(t, err)
	for name, want := range map[string]string{"port": "5432", "tags": `["a"]`, "user": "bot", "empty": ""} {
		if got.Fields[name].Reveal() != want {
			t.Errorf("field %s is %q, want %q", name, got.Fields[name].Reveal(), want)
		}
	}
	must(t, d.RemoveSecret(t.Context(), s.kv+"/"+path))
}

// TestStorePaths writes to places that are none.
func TestStorePaths(t *testing.T) {
	s := newServer(t)
	d := full(t, s.Open(t))
	version1 := random("kv1")
	s.call(t, http.MethodPost, "sys/mounts/"+version1, `{"type":"kv","options":{"version":"1"}}`)
	for path, want := range map[string]string{
		version1 + "/x": "not in a KV version 2 mount", "sys/x": "not in a KV version 2 mount", s.kv + "/../x": "cannot be the path",
		s.kv: "no path in it", "": "cannot be the path", s.kv + "//x": "cannot be the path", s.kv + "/x/": "cannot be the path",
	} {
		_, err := d.PutSecret(t.Context(), path, driver.StoredSecret{Fields: fields("text")})
		wantCode(t, d, err, driver.Invalid)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error for %q is %q, want %q in it", path, err, want)
		}
	}
	_, err := d.GetSecret(t.Context(), random("nomount")+"/x")
	if err == nil || d.Classify(err).Code == driver.NotFound {
		t.Errorf("a missing mount gives %v", err)
	}
	s.call(t, http.MethodDelete, "sys/mounts/"+version1, "")
}
