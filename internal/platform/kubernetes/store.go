package kubernetes

import (
	"context"
	"encoding/json"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	// versionAnnotation counts this driver's writes; Kubernetes itself counts none of a Secret.
	versionAnnotation = domain + "version"
	// metadataAnnotation holds the metadata as JSON: texts that no label or annotation of its own could have as a name.
	metadataAnnotation = domain + "metadata"
)

// PutSecret writes a Secret object. Kubernetes compares and sets by its resource version: what changed since the version
// was compared makes the write fail with Conflict.
func (d *kubernetesDriver) PutSecret(ctx context.Context, path string, s driver.StoredSecret) (int64, error) {
	at, err := d.secretAt(path)
	if err != nil {
		return 0, err
	}
	stored := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: at.namespace, Name: at.name}, Type: corev1.SecretTypeOpaque}
	if s.Version == 0 {
		if err := fill(stored, s, 1); err != nil {
			return 0, err
		}
		err := d.api.create(ctx, at, stored, false)
		if err != nil && classify(err).Code == driver.AlreadyExists {
			return 0, driver.Errorf(driver.Conflict, "there is a Secret %q already", path)
		}
		return 1, inNamespace(err, at.namespace)
	}
	err = d.api.get(ctx, at, stored)
	switch {
	case isAbsent(err, secrets):
		return 0, driver.Errorf(driver.Conflict, "there is no Secret %q with version %d: nothing is there", path, s.Version)
	case err != nil:
		return 0, err
	}
	now := versionOf(stored)
	if now != s.Version {
		return 0, driver.Errorf(driver.Conflict, "the Secret %q has version %d, not %d", path, now, s.Version)
	}
	if err := fill(stored, s, now+1); err != nil {
		return 0, err
	}
	err = d.api.replace(ctx, at, stored)
	if isAbsent(err, secrets) {
		err = driver.Errorf(driver.Conflict, "the Secret %q was deleted meanwhile", path)
	}
	return now + 1, err
}

// fill puts s into a Secret, and keeps labels and annotations of others.
func fill(stored *corev1.Secret, s driver.StoredSecret, version int64) error {
	stored.Data = map[string][]byte{}
	for name, value := range s.Fields {
		stored.Data[name] = []byte(value.Reveal())
	}
	annotations := maps.Clone(stored.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[versionAnnotation] = strconv.FormatInt(version, 10)
	delete(annotations, metadataAnnotation)
	if len(s.Metadata) > 0 {
		text, err := json.Marshal(s.Metadata)
		if err != nil {
			return err
		}
		annotations[metadataAnnotation] = string(text)
	}
	stored.Annotations = annotations
	return nil
}

// versionOf counts a Secret that somebody else made as one write.
func versionOf(stored *corev1.Secret) int64 {
	if n, err := strconv.ParseInt(stored.Annotations[versionAnnotation], 10, 64); err == nil && n > 0 {
		return n
	}
	return 1
}

// GetSecret reads a Secret object.
func (d *kubernetesDriver) GetSecret(ctx context.Context, path string) (driver.StoredSecret, error) {
	at, err := d.secretAt(path)
	if err != nil {
		return driver.StoredSecret{}, err
	}
	stored := &corev1.Secret{}
	if err := d.api.get(ctx, at, stored); err != nil {
		return driver.StoredSecret{}, err
	}
	out := driver.StoredSecret{Fields: map[string]secret.Value{}, Version: versionOf(stored)}
	for name, value := range stored.Data {
		out.Fields[name] = secret.New(string(value))
	}
	if text := stored.Annotations[metadataAnnotation]; text != "" {
		if err := json.Unmarshal([]byte(text), &out.Metadata); err != nil {
			return driver.StoredSecret{}, driver.Errorf(driver.Unknown, "the annotation %s of the Secret %q: %w", metadataAnnotation, path, err)
		}
	}
	return out, nil
}

// RemoveSecret deletes a Secret object.
func (d *kubernetesDriver) RemoveSecret(ctx context.Context, path string) error {
	at, err := d.secretAt(path)
	if err != nil {
		return err
	}
	return gone(d.api.request("DELETE", at).Do(ctx).Error())
}

// secretAt reads "name" or "namespace/name".
func (d *kubernetesDriver) secretAt(path string) (place, error) {
	namespace, name := d.namespace, path
	if before, after, found := strings.Cut(path, "/"); found {
		namespace, name = before, after
	}
	if !namespacePattern.MatchString(namespace) || !objectPattern.MatchString(name) || len(name) > maxObjectName || !d.covers(namespace) {
		return place{}, driver.Errorf(driver.Invalid,
			"%q cannot be the path of a Secret: write its name, or namespace/name, for example \"billing/warehouse\"", path)
	}
	return core(namespace, secrets, name), nil
}
