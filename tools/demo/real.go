package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// realPlatforms are the servers of the testbed.
func realPlatforms(servers testenv.Servers) ([]platform, error) {
	psql, err := findPsql()
	if err != nil {
		return nil, err
	}
	if servers.PostgreSQL.Host == "" || servers.Vault.Address == "" || servers.SCIM.URL == "" {
		return nil, errors.New("the testbed does not run postgresql, vault and scim: start all three, or unset " + testenv.EnvFile)
	}
	return []platform{
		&postgresql{server: servers.PostgreSQL, psql: psql},
		&vault{api: api{base: servers.Vault.Address + "/v1/", header: "X-Vault-Token", value: servers.Vault.Token}, server: servers.Vault},
		&scim{api: api{base: servers.SCIM.URL + "/", header: "Authorization", value: "Bearer " + servers.SCIM.Token}, server: servers.SCIM},
	}, nil
}

// api speaks JSON with a server.
type api struct {
	base          string
	header, value string // what authenticates us
}

// statusError is an answer other than success.
type statusError struct {
	code int
	body string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.body) }

func isStatus(err error, codes ...int) bool {
	var status *statusError
	if !errors.As(err, &status) {
		return false
	}
	for _, code := range codes {
		if status.code == code {
			return true
		}
	}
	return false
}

// do sends in, if it is not nil, and decodes the answer into out, if that is not nil.
func (a api) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	request.Header.Set(a.header, a.value)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %w", method, path, &statusError{response.StatusCode, string(text)})
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, out)
}
