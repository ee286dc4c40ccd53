// Package testenv tells tests where the real servers of the testbed are.
//
// The testbed (tools/testbed) starts the servers and writes a JSON file; tests read it with Load. A test never starts a
// server of its own and never skips itself when one is missing.
package testenv

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// EnvFile names the environment variable with the path of the servers file. Without it the file of `make testbed` is
// read.
const EnvFile = "NHI_TESTBED"

// module is the module that Root looks for: the tools below it are modules of their own.
const module = "github.com/nhi-labs/terraform-provider-nhi"

// Servers are the addresses and administrators of everything that runs. The part of a server that was not started is
// zero. All of it is made up anew at each start and guards nothing but test data.
type Servers struct {
	PostgreSQL PostgreSQL `json:"postgresql"`
	Vault      Vault      `json:"vault"`
	SCIM       SCIM       `json:"scim"`
	MySQL      MySQL      `json:"mysql"`
	OAuth      OAuth      `json:"oauth"`
	RSyslog    Syslog     `json:"rsyslog"`
	SyslogNG   Syslog     `json:"syslog_ng"`
	Collector  Collector  `json:"collector"`
	Kubernetes Kubernetes `json:"kubernetes"`
	AWS        AWS        `json:"aws"`
	LDAP       Directory  `json:"ldap"`
	LDAPBis    Directory  `json:"ldap_rfc2307bis"`
	AD         Directory  `json:"active_directory"`
	Redmine    Redmine    `json:"redmine"`
	CLI        CLI        `json:"cli"`
}

// PostgreSQL is a cluster whose administrator is a superuser. It speaks TLS with a certificate for 127.0.0.1 and
// localhost that the authority in CAFile signed, and it logs every statement to LogFile.
type PostgreSQL struct {
	Host     string `json:"host,omitempty"`
	Port     int    `json:"port,omitempty"`
	Database string `json:"database,omitempty"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	LogFile  string `json:"log_file,omitempty"`
	CAFile   string `json:"ca_file,omitempty"`
}

// Vault is a server in development mode: unsealed, in memory, with KV version 2 mounted at secret/. Token is its root
// token.
type Vault struct {
	Address string `json:"address,omitempty"`
	Token   string `json:"token,omitempty"`
}

// SCIM is the base URL of a SCIM 2.0 service and the bearer token it accepts.
type SCIM struct {
	URL   string `json:"url,omitempty"`
	Token string `json:"token,omitempty"`
}

// MySQL is a MariaDB server whose administrator may do everything. It speaks TLS with a certificate for 127.0.0.1 and
// localhost that CAFile has signed. LogFile is its general log, with every statement.
type MySQL struct {
	Host     string `json:"host,omitempty"`
	Port     int    `json:"port,omitempty"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	LogFile  string `json:"log_file,omitempty"`
	CAFile   string `json:"ca_file,omitempty"`
}

// OAuth is an authorization server with dynamic client registration (RFC 7591, RFC 7592), which asks for the initial access
// token. Beside tickets:read and tickets:write it knows the scopes test:000#read to test:199#read: Scopes of them.
type OAuth struct {
	Issuer             string `json:"issuer,omitempty"`
	InitialAccessToken string `json:"initial_access_token,omitempty"`
	Scopes             int    `json:"scopes,omitempty"`
}

// Syslog is a receiver of RFC 5424 messages on two addresses, with and without TLS; its certificate for 127.0.0.1 is
// signed by the authority in CAFile. It appends what it understood of each message to File as a line of JSON: rsyslog with
// the fields pri, host, app, msgid, sd, msg and version, syslog-ng with its own names.
type Syslog struct {
	TCP    string `json:"tcp,omitempty"`
	TLS    string `json:"tls,omitempty"`
	CAFile string `json:"ca_file,omitempty"`
	File   string `json:"file,omitempty"`
}

// Collector is an OpenTelemetry Collector: base URLs of its receivers, all with TLS as in Syslog. Its HTTP Event Collector
// acknowledges and takes any token, which it writes down. It appends what it received to File in OTLP's JSON.
type Collector struct {
	OTLPHTTP  string `json:"otlp_http,omitempty"`
	OTLPGRPC  string `json:"otlp_grpc,omitempty"`
	SplunkHEC string `json:"splunk_hec,omitempty"`
	CAFile    string `json:"ca_file,omitempty"`
	File      string `json:"file,omitempty"`
}

// Kubernetes is an API server with etcd and nothing else: no controller runs. Token is that of a member of
// system:masters; the authority in CAFile signed the server's certificate.
type Kubernetes struct {
	Address string `json:"address,omitempty"`
	CAFile  string `json:"ca_file,omitempty"`
	Token   string `json:"token,omitempty"`
}

// AWS is a server that speaks a part of the IAM and STS APIs of AWS (SeaweedFS), with the access key of its
// administrator.
type AWS struct {
	Endpoint  string `json:"endpoint,omitempty"`
	AccessKey string `json:"access_key,omitempty"`
	SecretKey string `json:"secret_key,omitempty"`
}

// Directory is an LDAP server: OpenLDAP with the overlays ppolicy, memberof and refint and the groups of RFC 2307; OpenLDAP
// with ppolicy alone and the groups of RFC 2307bis; or Samba as a domain controller of Active Directory. It speaks TLS with
// a certificate for its host that the authority in CAFile signed. Below BaseDN are the empty units ou=accounts and
// ou=groups, in which OpenLDAP shows BindDN no member of a group whose name begins with dark-; in a domain also OU=locked,
// in which BindDN may make accounts and set no password.
type Directory struct {
	// Host and Port are those of ldaps://; PlainPort, at which StartTLS is spoken too, is that of ldap://.
	Host      string `json:"host,omitempty"`
	Port      int    `json:"port,omitempty"`
	PlainPort int    `json:"plain_port,omitempty"`
	BaseDN    string `json:"base_dn,omitempty"`
	// RootDN may do everything.
	RootDN       string `json:"root_dn,omitempty"`
	RootPassword string `json:"root_password,omitempty"`
	// BindDN has exactly the rights that the platform's guide asks for.
	BindDN   string `json:"bind_dn,omitempty"`
	Password string `json:"password,omitempty"`
	// ReaderDN may read what BindDN reads, and change nothing. OpenLDAP has, with the same password and beside it, cn=blind,
	// which sees no account, and cn=limited, which gets ten entries at most.
	ReaderDN       string `json:"reader_dn,omitempty"`
	ReaderPassword string `json:"reader_password,omitempty"`
	CAFile         string `json:"ca_file,omitempty"`
}

// Redmine is a Redmine with an administrator's API key, and with the custom field "NHI" of users.
type Redmine struct {
	URL    string `json:"url,omitempty"`
	APIKey string `json:"api_key,omitempty"`
}

// CLI holds paths of the command-line programs that the acceptance tests drive.
type CLI struct {
	// Terraform is the terraform found on PATH; without one it is the same as TerraformNew.
	Terraform    string `json:"terraform,omitempty"`
	TerraformNew string `json:"terraform_new,omitempty"`
	OpenTofu     string `json:"opentofu,omitempty"`
}

// Load reads the servers file and fails the test if it cannot.
func Load(t testing.TB) Servers {
	t.Helper()
	path, err := Path()
	if err != nil {
		t.Fatalf("find the testbed: %v", err)
	}
	servers, err := Read(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Fatalf("no servers at %s: start the testbed: make testbed", path)
	}
	if err != nil {
		t.Fatalf("read the testbed: %v", err)
	}
	return servers
}

// Path is where the servers file is: the value of NHI_TESTBED, or .testbed/servers.json in the root of the checkout.
func Path() (string, error) {
	if path := os.Getenv(EnvFile); path != "" {
		return path, nil
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, ".testbed", "servers.json"), nil
}

// Root is the directory of the provider's own go.mod, at or above the working directory.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			first, _, _ := strings.Cut(string(content), "\n")
			if strings.TrimSpace(first) == "module "+module {
				return dir, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod of %s at or above %s: run this inside a checkout", module, start)
		}
	}
}

// Read reads a servers file.
func Read(path string) (Servers, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Servers{}, err
	}
	var servers Servers
	if err := json.Unmarshal(content, &servers); err != nil {
		return Servers{}, fmt.Errorf("%s: %w", path, err)
	}
	return servers, nil
}

// Write writes a servers file that only its owner can read. A reader sees the old content or the new, never half.
func Write(path string, servers Servers) error {
	content, err := json.MarshalIndent(servers, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".servers-*") // Created with mode 0600.
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // Gone already when the rename succeeded.
	_, err = temp.Write(append(content, '\n'))
	if err := errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(temp.Name(), path)
}
