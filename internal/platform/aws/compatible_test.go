package aws_test

import (
	"strings"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/driver/drivertest"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/platform/aws"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
)

// TestConformanceCompatible runs the suite against a real server that is not AWS.
func TestConformanceCompatible(t *testing.T) {
	t.Parallel()
	drivertest.Run(t, newSeaweed(t))
}

// seaweed is the SeaweedFS of the testbed, which its administrator changes with the SDK and not through the driver.
type seaweed struct {
	env testenv.AWS
	iam *iam.Client
}

func newSeaweed(t *testing.T) *seaweed {
	t.Helper()
	env := testenv.Load(t).AWS
	return &seaweed{env: env, iam: iam.New(iam.Options{
		Region: "us-east-1", BaseEndpoint: &env.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(env.AccessKey, env.SecretKey, ""),
	})}
}

func (s *seaweed) config() aws.Config {
	return aws.Config{
		Endpoint: s.env.Endpoint, AccessKeyID: s.env.AccessKey, SecretAccessKey: secret.New(s.env.SecretKey),
		PageSize: 7, Settle: time.Minute,
	}
}

func (s *seaweed) Spec() driver.Spec { return aws.Spec() }

func (s *seaweed) Open(t *testing.T) driver.Driver { return open(t, s.config()) }

func (s *seaweed) Entitlements(t *testing.T, n int) []nhi.Entitlement {
	t.Helper()
	var out []nhi.Entitlement
	for i := range n {
		if i%2 == 0 {
			out = append(out, s.policy(t))
		} else {
			out = append(out, s.group(t))
		}
	}
	return out
}

func (s *seaweed) policy(t *testing.T) nhi.Entitlement {
	t.Helper()
	name, document := random("read"), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::x/*"]}]}`
	made, err := s.iam.CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &document})
	must(t, err)
	return nhi.Entitlement{Type: "policy", Target: awssdk.ToString(made.Policy.Arn)}
}

func (s *seaweed) group(t *testing.T) nhi.Entitlement {
	t.Helper()
	name := random("readers")
	_, err := s.iam.CreateGroup(t.Context(), &iam.CreateGroupInput{GroupName: &name})
	must(t, err)
	return nhi.Entitlement{Type: "group", Target: name}
}

func (s *seaweed) SharedEntitlement(t *testing.T) nhi.Entitlement { return s.group(t) }

func (s *seaweed) Foreign(t *testing.T, name string, holds ...nhi.Entitlement) {
	t.Helper()
	_, err := s.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name})
	must(t, err)
	for _, e := range holds {
		s.GrantByHand(t, name, e)
	}
}

func (s *seaweed) GrantByHand(t *testing.T, name string, e nhi.Entitlement) {
	t.Helper()
	if e.Type == "group" {
		_, err := s.iam.AddUserToGroup(t.Context(), &iam.AddUserToGroupInput{UserName: &name, GroupName: &e.Target})
		must(t, err)
		return
	}
	_, err := s.iam.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: &e.Target})
	must(t, err)
}

func (s *seaweed) MissingEntitlement(*testing.T) (nhi.Entitlement, bool) {
	return nhi.Entitlement{Type: "group", Target: random("missing")}, true
}

func (s *seaweed) HostileNames() []string { return hostileNames() }

func (s *seaweed) Settings() map[string]string { return nil }

func (s *seaweed) Secrets() []secret.Value { return []secret.Value{secret.New(s.env.SecretKey)} }

func (s *seaweed) Many() int { return 12 }

// Unsupported names what SeaweedFS lacks; the fake has it.
func (s *seaweed) Unsupported() map[string]string {
	const noStore = "SeaweedFS has no Secrets Manager"
	return map[string]string{
		"store/round_trip": noStore, "store/check_and_set": noStore, "store/remove": noStore, "store/hostile_content": noStore,
	}
}

func (s *seaweed) WithFault(t *testing.T, fault drivertest.Fault) driver.Driver {
	t.Helper()
	if fault != drivertest.MissingRights {
		return withFault(t, s.config(), fault)
	}
	name := strings.ToLower(random("reader"))
	_, err := s.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name})
	must(t, err)
	made, err := s.iam.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	must(t, err)
	cfg := s.config()
	cfg.AccessKeyID = awssdk.ToString(made.AccessKey.AccessKeyId)
	cfg.SecretAccessKey = secret.New(awssdk.ToString(made.AccessKey.SecretAccessKey))
	return open(t, cfg)
}
