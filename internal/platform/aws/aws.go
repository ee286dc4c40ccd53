// Package aws drives AWS Identity and Access Management. An account is an IAM user; what it holds are the managed policies
// attached to it, the groups that it is in, and (observed only) its inline policies. Its credentials are access keys.
// AWS Secrets Manager is the secret store.
package aws

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// Config is what a driver is opened with.
type Config struct {
	// Region is where the Secrets Manager is, and which STS is asked; default us-east-1. IAM has none.
	Region string
	// Endpoint is the URL of a server that is asked instead of AWS: one for IAM, STS and Secrets Manager.
	Endpoint string
	// AccessKeyID with SecretAccessKey, and SessionToken where it is a temporary one, log in. Without them the SDK's
	// default chain does (environment, shared files with Profile, web identity, container, instance).
	AccessKeyID                   string
	SecretAccessKey, SessionToken secret.Value
	// Profile is the profile of the shared files; "" is the default one.
	Profile string
	// AssumeRoleARN, if set, is the role that the driver acts as, after it has logged in; with ExternalID if the role's
	// trust policy demands one.
	AssumeRoleARN, ExternalID string
	// Path is the IAM path of the users that are made ("/nhi/"); default "/".
	Path string
	// KMSKeyID encrypts the secrets that are stored; "" is AWS's own key for the Secrets Manager.
	KMSKeyID string
	// PageSize is how many entries one answer to a list holds at most; default 100.
	PageSize int
	// Settle is how long IAM may take until every one of its servers knows of a change; default 30 seconds.
	Settle time.Duration
	// Timeout ends a single request; default is a minute.
	Timeout time.Duration
}

const (
	defaultRegion   = "us-east-1"
	defaultPageSize = 100
	defaultSettle   = 30 * time.Second
	defaultTimeout  = time.Minute
	sessionName     = "terraform-provider-nhi"
	// maxBody bounds what is read of one answer. The largest is a page of users with all that they hold.
	maxBody = 128 << 20
)

// awsDriver implements driver.Driver, Suspender, Sweeper, Issuer, Verifier, SecretStore and BulkExplainer.
type awsDriver struct {
	iam     *iam.Client
	sts     *sts.Client
	secrets *secretsmanager.Client
	// login makes the configuration of a client that logs in with an access key.
	login func(id string, text secret.Value) aws.Config
	http  *http.Client

	endpoint string
	path     string
	kmsKeyID string
	pageSize int32
	fresh    *fresh
	bulk     bulk
	// noLastUse is set once the server has said that it does not tell when a key was last used.
	noLastUse atomic.Bool
}

// Open returns a driver for cfg. It reads the SDK's shared files where cfg has no access key, and does no network I/O.
func Open(cfg Config) (driver.Driver, error) {
	if cfg.Region == "" {
		cfg.Region = defaultRegion
	}
	if cfg.Path == "" {
		cfg.Path = "/"
	}
	if cfg.PageSize <= 0 {
		cfg.PageSize = defaultPageSize
	}
	if cfg.Settle <= 0 {
		cfg.Settle = defaultSettle
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if err := check(cfg); err != nil {
		return nil, err
	}
	base, client, err := load(cfg)
	if err != nil {
		return nil, err
	}
	return &awsDriver{
		iam: iam.NewFromConfig(base), sts: sts.NewFromConfig(base), secrets: secretsmanager.NewFromConfig(base),
		login: func(id string, text secret.Value) aws.Config {
			own := base.Copy()
			own.Credentials = credentials.NewStaticCredentialsProvider(id, text.Reveal(), "")
			return own
		},
		http: client, endpoint: cfg.Endpoint, path: cfg.Path, kmsKeyID: cfg.KMSKeyID,
		pageSize: int32(min(cfg.PageSize, 1000)), //nolint:gosec // bounded on both sides
		fresh:    newFresh(cfg.Settle),
	}, nil
}

func check(cfg Config) error {
	switch {
	case (cfg.AccessKeyID == "") != cfg.SecretAccessKey.IsZero():
		return driver.Errorf(driver.Invalid, "an access key needs both its id and its secret")
	case cfg.AccessKeyID == "" && !cfg.SessionToken.IsZero():
		return driver.Errorf(driver.Invalid, "a session token belongs to an access key: set that, too")
	case cfg.AccessKeyID != "" && cfg.Profile != "":
		return driver.Errorf(driver.Invalid, "an access key and a profile are two ways to log in; set one")
	case !pathPattern.MatchString(cfg.Path):
		return driver.Errorf(driver.Invalid, "the path %q begins and ends with a slash, for example \"/nhi/\"", cfg.Path)
	}
	if cfg.Endpoint == "" {
		return nil
	}
	if u, err := url.Parse(cfg.Endpoint); err != nil || u.Host == "" {
		return driver.Errorf(driver.Invalid, "%q is not the URL of an endpoint", cfg.Endpoint)
	}
	return nil
}

// load makes the configuration of all clients, and the HTTP client under them. None of them repeats a request: that is the
// caller's business. Where the SDK's own settings decide the login, they also decide which authorities the client trusts
// (AWS_CA_BUNDLE). The SDK's own HTTP client would follow a redirect to any host, with the secret that a request stores.
func load(cfg Config) (aws.Config, *http.Client, error) {
	base := aws.Config{}
	made := awshttp.NewBuildableClient().WithTimeout(cfg.Timeout)
	if cfg.AccessKeyID != "" {
		base.Credentials = credentials.NewStaticCredentialsProvider(
			cfg.AccessKeyID, cfg.SecretAccessKey.Reveal(), cfg.SessionToken.Reveal())
	} else {
		loaded, err := config.LoadDefaultConfig(context.Background(),
			config.WithSharedConfigProfile(cfg.Profile), config.WithRegion(cfg.Region), config.WithHTTPClient(made))
		if err != nil {
			return base, nil, fmt.Errorf("how to log in to AWS: %w", err)
		}
		base.Credentials = loaded.Credentials
		if own, ok := loaded.HTTPClient.(*awshttp.BuildableClient); ok {
			made = own
		}
	}
	client := &http.Client{Transport: transport.Guard{Next: made.GetTransport(), MaxBody: maxBody}, Timeout: cfg.Timeout}
	base.Region = cfg.Region
	base.HTTPClient = translating{client}
	base.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	if cfg.Endpoint != "" {
		base.BaseEndpoint = &cfg.Endpoint
	}
	if cfg.AssumeRoleARN == "" {
		return base, client, nil
	}
	role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(base), cfg.AssumeRoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = sessionName
		if cfg.ExternalID != "" {
			o.ExternalID = &cfg.ExternalID
		}
	})
	base.Credentials = aws.NewCredentialsCache(role)
	return base, client, nil
}

// Close releases connections.
func (d *awsDriver) Close() error {
	d.http.CloseIdleConnections()
	return nil
}

// Probe tells the AWS account, and the region of its Secrets Manager. An account id says nothing about a server that is not AWS: then its address counts, too.
func (d *awsDriver) Probe(ctx context.Context) (driver.Target, error) {
	who, err := d.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return driver.Target{}, err
	}
	account := aws.ToString(who.Account)
	parts := strings.SplitN(aws.ToString(who.Arn), ":", 3)
	if account == "" || len(parts) != 3 || parts[0] != "arn" {
		return driver.Target{}, driver.Errorf(driver.Unknown, "what answers is not AWS: it does not say whose login this is")
	}
	target := driver.Target{ID: "aws:" + parts[1] + ":" + account, Store: d.secrets.Options().Region, Version: "AWS " + parts[1]}
	if u, err := url.Parse(d.endpoint); err == nil && u.Host != "" && !isAWS(u.Hostname()) {
		target.ID += "@" + u.Host
		target.Version = "an AWS-compatible server"
	}
	one := int32(1)
	_, err = d.iam.ListUsers(ctx, &iam.ListUsersInput{MaxItems: &one})
	switch {
	case err == nil:
	case classify(err).Code == driver.PermissionDenied:
		target.Lacking = append(target.Lacking, "The provider may not list users: it lacks iam:ListUsers.")
	default:
		return driver.Target{}, err
	}
	mode, err := d.bulkMode(ctx)
	if err != nil {
		return driver.Target{}, err
	}
	if mode == bulkDenied {
		target.Blind = append(target.Blind,
			"The provider may not read all users at once and reads them one by one: it lacks iam:GetAccountAuthorizationDetails.")
	}
	return target, nil
}

func isAWS(host string) bool {
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}
