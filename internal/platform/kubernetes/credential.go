package kubernetes

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

const (
	secrets = "secrets"
	// slots is this driver's own limit: Kubernetes has none, and a rotation needs two.
	slots = 5
	// defaultTTL is how long a token lives that is asked for without an end; every token has one.
	defaultTTL = 365 * 24 * time.Hour
	// minTTL is the shortest life that the TokenRequest API gives.
	minTTL = 10 * time.Minute
	// undoTimeout bounds how long a credential that failed is taken back, also if the caller's time is up.
	undoTimeout = 5 * time.Second
)

// Slots returns this driver's limit of tokens per account.
func (d *kubernetesDriver) Slots() int { return slots }

// credentials are credentials by the UID of the account.
type credentials map[string][]nhi.Credential

// credentials lists the Secrets that stand for credentials in a namespace ("" for all): those that this driver bound
// tokens to, selected by label, and those in which Kubernetes itself keeps a token for ever. It asks for their metadata
// alone, so that no text of a credential comes with it.
func (d *kubernetesDriver) credentials(ctx context.Context, namespace, labels string) (credentials, error) {
	out := credentials{}
	for _, s := range []selection{
		{labels: labels, metadataOnly: true},
		{fields: "type=" + string(corev1.SecretTypeServiceAccountToken), metadataOnly: true},
	} {
		err := d.anchors(ctx, namespace, s, func(m metav1.ObjectMeta) {
			uid := cmp.Or(m.Labels[credentialLabel], m.Annotations[corev1.ServiceAccountUIDKey])
			out[uid] = append(out[uid], credentialOf(m))
		})
		if err != nil {
			return nil, err
		}
	}
	for _, of := range out {
		slices.SortFunc(of, func(a, b nhi.Credential) int {
			return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		})
	}
	return out, nil
}

// anchors calls visit with the metadata of each selected Secret.
func (d *kubernetesDriver) anchors(ctx context.Context, namespace string, s selection, visit func(metav1.ObjectMeta)) error {
	newList := func() *metav1.PartialObjectMetadataList { return &metav1.PartialObjectMetadataList{} }
	return list(ctx, d, core(namespace, secrets, ""), s, newList, func(page *metav1.PartialObjectMetadataList) error {
		for _, item := range page.Items {
			visit(item.ObjectMeta)
		}
		return nil
	})
}

func credentialOf(m metav1.ObjectMeta) nhi.Credential {
	c := nhi.Credential{ID: string(m.UID), Label: m.Annotations[labelAnnotation], CreatedAt: m.CreationTimestamp.UTC()}
	if ends, err := time.Parse(time.RFC3339, m.Annotations[expiresAnnotation]); err == nil {
		c.ExpiresAt = ends.UTC()
	}
	return c
}

// Issue makes a Secret and a token that is bound to it. The names of the Secrets are the slots, so that the API server
// itself decides who gets the last one.
func (d *kubernetesDriver) Issue(ctx context.Context, ref nhi.Ref, request driver.IssueRequest) (driver.Issued, error) {
	account, err := d.find(ctx, ref)
	if err != nil {
		return driver.Issued{}, err
	}
	ends := request.ExpiresAt
	if ends.IsZero() {
		ends = time.Now().Add(defaultTTL)
	}
	if time.Until(ends) < minTTL {
		return driver.Issued{}, driver.Errorf(driver.Invalid, "a token lives at least %s", minTTL)
	}
	taken, err := d.credentials(ctx, account.Namespace, credentialLabel+"="+string(account.UID))
	if err != nil {
		return driver.Issued{}, err
	}
	if n := len(taken[string(account.UID)]); n >= slots {
		return driver.Issued{}, driver.Errorf(driver.Conflict, "account %q has %d tokens already", ref.Name, n)
	}
	for n := range slots {
		anchor := newAnchor(account, credentialLabel, ends)
		anchor.Name = fmt.Sprintf("nhi-%s-%d", account.UID, n)
		anchor.Annotations[labelAnnotation] = request.Label
		err := d.api.create(ctx, core(anchor.Namespace, secrets, anchor.Name), anchor, false)
		if err != nil && classify(err).Code == driver.AlreadyExists {
			continue
		}
		if err != nil {
			return driver.Issued{}, err
		}
		text, err := d.token(ctx, account, anchor, ends)
		if err != nil {
			return driver.Issued{}, err
		}
		return driver.Issued{
			Credential: credentialOf(anchor.ObjectMeta), Login: principalOf(account).username(), Secret: text,
		}, nil
	}
	return driver.Issued{}, driver.Errorf(driver.Conflict, "account %q has %d tokens already", ref.Name, slots)
}

// newAnchor returns a Secret to bind a token to. It holds nothing. Where a garbage collector runs, it goes with the
// account whoever deletes that.
func newAnchor(account *corev1.ServiceAccount, label string, ends time.Time) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   account.Namespace,
			Labels:      map[string]string{label: string(account.UID), managedLabel: managedValue},
			Annotations: map[string]string{expiresAnnotation: ends.UTC().Format(time.RFC3339)},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "v1", Kind: "ServiceAccount", Name: account.Name, UID: account.UID,
			}},
		},
		Type: corev1.SecretTypeOpaque,
	}
}

// token makes a token bound to anchor, and notes on it when the token really ends. If that fails, the anchor goes, and
// with it a token that nobody knows.
func (d *kubernetesDriver) token(
	ctx context.Context, account *corev1.ServiceAccount, anchor *corev1.Secret, ends time.Time,
) (text secret.Value, err error) {
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
			defer cancel()
			if d.removeAnchor(ctx, anchor.ObjectMeta) != nil {
				err = driver.AfterChange(classify, err)
			}
		}
	}()
	seconds := int64(time.Until(ends).Seconds())
	seconds = max(seconds, int64(minTTL.Seconds()))
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Secret", Name: anchor.Name, UID: anchor.UID,
		},
	}}
	at := principalOf(account).place()
	at.sub = "token"
	var answer authenticationv1.TokenRequest
	if err := d.api.ask(ctx, at, request, &answer); err != nil {
		return secret.Value{}, err
	}
	if answer.Status.Token == "" || answer.Status.ExpirationTimestamp.IsZero() {
		return secret.Value{}, driver.Errorf(driver.Unknown, "the answer to the request for a token holds none")
	}
	note := answer.Status.ExpirationTimestamp.UTC().Format(time.RFC3339)
	anchor.Annotations[expiresAnnotation] = note
	err = d.api.patch(ctx, core(anchor.Namespace, secrets, anchor.Name), accountPatch{Metadata: patchMetadata{
		UID: anchor.UID, Annotations: map[string]*string{expiresAnnotation: &note},
	}})
	return secret.New(answer.Status.Token), err
}

func (d *kubernetesDriver) removeAnchor(ctx context.Context, m metav1.ObjectMeta) error {
	return d.api.remove(ctx, core(m.Namespace, secrets, m.Name), metav1.Preconditions{UID: &m.UID})
}

// removeAnchors deletes every Secret that this driver bound a token of the account to.
func (d *kubernetesDriver) removeAnchors(ctx context.Context, namespace string, account types.UID) error {
	var found []metav1.ObjectMeta
	for _, label := range []string{credentialLabel, tokenLabel} {
		s := selection{labels: label + "=" + string(account), metadataOnly: true}
		if err := d.anchors(ctx, namespace, s, func(m metav1.ObjectMeta) { found = append(found, m) }); err != nil {
			return err
		}
	}
	for _, m := range found {
		if err := d.removeAnchor(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// RevokeCredential deletes the Secret that the token is bound to, or in which it is kept. API servers may accept a token
// that they have just seen for some seconds more (Spec.RevocationLag).
func (d *kubernetesDriver) RevokeCredential(ctx context.Context, ref nhi.Ref, id string) error {
	account, err := d.find(ctx, ref)
	if err != nil {
		return gone(err)
	}
	var found []metav1.ObjectMeta
	visit := func(m metav1.ObjectMeta) {
		mine := m.Labels[credentialLabel] == string(account.UID) || m.Annotations[corev1.ServiceAccountUIDKey] == string(account.UID)
		if mine && m.UID == types.UID(id) {
			found = append(found, m)
		}
	}
	for _, s := range []selection{
		{labels: credentialLabel + "=" + string(account.UID), metadataOnly: true},
		{fields: "type=" + string(corev1.SecretTypeServiceAccountToken), metadataOnly: true},
	} {
		if err := d.anchors(ctx, account.Namespace, s, visit); err != nil {
			return err
		}
	}
	for _, m := range found {
		if err := d.removeAnchor(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// Verify asks the API server, with the token and nothing else, who it is.
func (d *kubernetesDriver) Verify(ctx context.Context, login string, text secret.Value) error {
	if text.IsZero() {
		return driver.Errorf(driver.Unauthenticated, "there is no token")
	}
	client, err := d.api.as(text, authenticationv1.SchemeGroupVersion)
	if err != nil {
		return err
	}
	defer client.Client.CloseIdleConnections()
	review := &authenticationv1.SelfSubjectReview{}
	at := place{resource: "selfsubjectreviews"}
	if err := requestOf(client, "POST", at).Body(review).Do(ctx).Into(review); err != nil {
		return err
	}
	switch review.Status.UserInfo.Username {
	case "":
		return driver.Errorf(driver.Unknown, "the answer to the login names no user")
	case login:
		return nil
	default:
		return driver.Errorf(driver.Unauthenticated, "the token is not one of %q", login)
	}
}
