package aws

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	current = "AWSCURRENT"
	pending = "AWSPENDING"
	// describedBy begins the description of a secret that holds our metadata, as JSON.
	describedBy = "nhi: "
	// maxDescription is AWS's limit.
	maxDescription = 2048
	// versionPrefix begins the id of a version that this driver wrote; its number in 19 digits follows.
	versionPrefix = "nhi-"
	// foreignVersions is above every number that writes can be counted to.
	foreignVersions = int64(1) << 40
)

var secretPath = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

// versionID makes the id of a version. Its callers choose it, so it can hold the number, which AWS does not count.
func versionID(n int64) string { return fmt.Sprintf("%s%019d-%s", versionPrefix, n, rand.Text()[:16]) }

// versionOf returns the number of a version. One that somebody else wrote has a number of its own that no write of ours
// gets, so that it is not overwritten unseen.
func versionOf(id string) int64 {
	if rest, ours := strings.CutPrefix(id, versionPrefix); ours {
		digits, _, _ := strings.Cut(rest, "-")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n > 0 {
			return n
		}
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return foreignVersions + int64(h.Sum32())
}

// PutSecret writes a version that is not yet the current one, and then makes it current in place of the one that was
// compared. AWS does that step only if that one still is current; so two writers cannot both succeed.
func (d *awsDriver) PutSecret(ctx context.Context, path string, s driver.StoredSecret) (int64, error) {
	if err := checkSecretPath(path); err != nil {
		return 0, err
	}
	content := map[string]string{}
	for name, value := range s.Fields {
		content[name] = value.Reveal()
	}
	text, err := json.Marshal(content)
	if err != nil {
		return 0, err
	}
	description, err := describe(s.Metadata)
	if err != nil {
		return 0, err
	}
	if s.Version == 0 {
		return 1, d.createSecret(ctx, path, string(text), description)
	}
	now, err := d.currentVersion(ctx, path)
	switch {
	case isAbsent(err):
		return 0, driver.Errorf(driver.Conflict, "there is no secret %q with version %d: nothing is there", path, s.Version)
	case err != nil:
		return 0, err
	case versionOf(now) != s.Version:
		return 0, driver.Errorf(driver.Conflict, "the secret %q has version %d, not %d", path, versionOf(now), s.Version)
	}
	next := versionOf(now) + 1
	return next, d.replaceSecret(ctx, path, string(text), description, now, versionID(next))
}

func describe(metadata map[string]string) (string, error) {
	if len(metadata) == 0 {
		return describedBy + "{}", nil
	}
	text, err := json.Marshal(metadata)
	if err == nil && len(describedBy)+len(text) > maxDescription {
		err = driver.Errorf(driver.Invalid, "the metadata is longer than the %d characters of a description", maxDescription)
	}
	return describedBy + string(text), err
}

// createSecret makes a secret. AWS may still be busy removing one of the same name.
func (d *awsDriver) createSecret(ctx context.Context, path, text, description string) error {
	id := versionID(1)
	in := &secretsmanager.CreateSecretInput{
		Name: &path, SecretString: &text, Description: &description, ClientRequestToken: &id,
	}
	if d.kmsKeyID != "" {
		in.KmsKeyId = &d.kmsKeyID
	}
	end := time.Now().Add(d.fresh.settle)
	for {
		_, err := d.secrets.CreateSecret(ctx, in)
		switch {
		case err == nil:
			return nil
		case classify(err).Code == driver.AlreadyExists:
			return driver.Errorf(driver.Conflict, "there is a secret %q already", path)
		case !isBeingDeleted(err) || time.Now().After(end):
			return err
		}
		if err := wait(ctx, longestPause/4); err != nil {
			return err
		}
	}
}

func isBeingDeleted(err error) bool {
	return hasCode(err, "InvalidRequestException") && strings.Contains(err.Error(), "deletion")
}

func (d *awsDriver) replaceSecret(ctx context.Context, path, text, description, before, after string) error {
	_, err := d.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &path, SecretString: &text, ClientRequestToken: &after, VersionStages: []string{pending},
	})
	if err != nil {
		return lost(path, err)
	}
	_, err = d.secrets.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &path, VersionStage: aws.String(current), MoveToVersionId: &after, RemoveFromVersionId: &before,
	})
	if err != nil {
		return lost(path, err)
	}
	_, err = d.secrets.UpdateSecret(ctx, &secretsmanager.UpdateSecretInput{SecretId: &path, Description: &description})
	if err != nil {
		return driver.AfterChange(classify, err)
	}
	_, err = d.secrets.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &path, VersionStage: aws.String(pending), RemoveFromVersionId: &after,
	})
	if hasCode(err, "InvalidParameterException") {
		return nil // Another writer has taken the label, which is all that was wanted.
	}
	return driver.AfterChange(classify, err)
}

// lost says what a refused change of the current version means: another writer was faster.
func lost(path string, err error) error {
	if isAbsent(err) || hasCode(err, "InvalidParameterException") {
		return driver.Errorf(driver.Conflict, "somebody changed the secret %q at the same time: %w", path, err)
	}
	return err
}

// currentVersion returns the id of the current version, NotFound for a secret that is being deleted, too.
func (d *awsDriver) currentVersion(ctx context.Context, path string) (string, error) {
	out, err := d.secretValue(ctx, path)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.VersionId), nil
}

func (d *awsDriver) secretValue(ctx context.Context, path string) (*secretsmanager.GetSecretValueOutput, error) {
	out, err := d.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &path})
	switch {
	case isBeingDeleted(err):
		return nil, driver.Errorf(driver.NotFound, "the secret %q is being deleted", path)
	case err != nil:
		return nil, err
	case aws.ToString(out.VersionId) == "" || aws.ToString(out.Name) != path:
		return nil, driver.Errorf(driver.Unknown, "the answer about the secret %q lacks its name or version", path)
	}
	return out, nil
}

// GetSecret returns the current version. A secret of somebody else that is no JSON object of texts comes as one field,
// "value".
func (d *awsDriver) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	if err := checkSecretPath(path); err != nil {
		return driver.StoredSecret{}, err
	}
	out, err := d.secretValue(ctx, path)
	if err != nil {
		return driver.StoredSecret{}, err
	}
	s := driver.StoredSecret{Fields: map[string]secret.Value{}, Version: versionOf(aws.ToString(out.VersionId))}
	text := aws.ToString(out.SecretString)
	if out.SecretString == nil {
		text = string(out.SecretBinary)
	}
	content := map[string]string{}
	if json.Unmarshal([]byte(text), &content) != nil {
		content = map[string]string{"value": text}
	}
	for name, value := range content {
		s.Fields[name] = secret.New(value)
	}
	about, err := d.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &path})
	if err != nil {
		return driver.StoredSecret{}, err
	}
	if described, ours := strings.CutPrefix(aws.ToString(about.Description), describedBy); ours && described != "{}" {
		_ = json.Unmarshal([]byte(described), &s.Metadata) // What somebody else has written there is no metadata.
	}
	return s, nil
}

// RemoveSecret deletes the secret with all its versions, without the time in which it could be restored. A server without
// a Secrets Manager holds none.
func (d *awsDriver) RemoveSecret(ctx context.Context, path string) error {
	if err := checkSecretPath(path); err != nil {
		return err
	}
	_, err := d.secrets.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{
		SecretId: &path, ForceDeleteWithoutRecovery: aws.Bool(true),
	})
	return lacks(gone(err))
}

func checkSecretPath(path string) error {
	if !secretPath.MatchString(path) {
		return driver.Errorf(driver.Invalid, "%q cannot be the name of a secret: use letters, digits and the characters / _ + = . @ -", path)
	}
	return nil
}
