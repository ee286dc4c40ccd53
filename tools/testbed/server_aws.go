package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/nhi-labs/terraform-provider-nhi/internal/testenv"
	"github.com/nhi-labs/terraform-provider-nhi/tools/internal/programs"
)

// aws is SeaweedFS, for its IAM and STS.
type aws struct{}

func (aws) name() string { return "aws" }

func (aws) install(ctx context.Context) error {
	_, err := programs.SeaweedFS.Path(ctx, os.Stderr)
	return err
}

func (aws) start(ctx context.Context, p *place, all *testenv.Servers) error {
	binary, err := programs.SeaweedFS.Path(ctx, os.Stderr)
	if err != nil {
		return err
	}
	config := filepath.Join(p.dir, "iam.json")
	if err := os.WriteFile(config, seaweedIAM(), 0o600); err != nil {
		return err
	}
	args := []string{
		"server", "-dir=" + p.dir, "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-metricsPort=0",
		"-filer", "-filer.localSocket=" + filepath.Join(p.dir, "filer.sock"),
		"-s3", "-s3.localSocket=" + filepath.Join(p.dir, "s3.sock"), "-s3.port.iceberg=0",
		"-s3.iam.readOnly=false", "-s3.iam.config=" + config,
	}
	for _, flag := range []string{
		"master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc",
	} {
		port, err := freePort()
		if err != nil {
			return err
		}
		args = append(args, fmt.Sprintf("-%s=%d", flag, port))
		if flag == "s3.port" {
			all.AWS = testenv.AWS{
				Endpoint: fmt.Sprintf("http://127.0.0.1:%d", port), AccessKey: "AKIA" + randomText()[:16], SecretKey: randomText(),
			}
		}
	}
	return p.spawn(spawn{path: binary, args: args, env: []string{
		"AWS_ACCESS_KEY_ID=" + all.AWS.AccessKey, "AWS_SECRET_ACCESS_KEY=" + all.AWS.SecretKey, "TMPDIR=" + p.dir,
	}})
}

// seaweedIAM is the configuration that makes STS answer.
func seaweedIAM() []byte {
	content, err := json.Marshal(map[string]any{
		"sts": map[string]string{
			"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "seaweedfs-sts",
			"signingKey": base64.StdEncoding.EncodeToString([]byte(randomText() + randomText())),
		},
		"policy":    map[string]string{"defaultEffect": "Deny", "storeType": "memory"},
		"providers": []string{}, "policies": []string{}, "roles": []string{},
	})
	if err != nil {
		panic(err) // There is nothing in it that cannot be encoded.
	}
	return content
}

// health lists the users, which needs a signature.
func (aws) health(ctx context.Context, all testenv.Servers) error {
	body := "Action=ListUsers&Version=2010-05-08"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, all.AWS.Endpoint+"/", strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(body))
	credentials := awssdk.Credentials{AccessKeyID: all.AWS.AccessKey, SecretAccessKey: all.AWS.SecretKey}
	err = v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), "iam", "us-east-1", time.Now())
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("list users: %s", response.Status)
	}
	return errors.Join(err, response.Body.Close())
}

func (aws) describe(all testenv.Servers) string { return all.AWS.Endpoint }
