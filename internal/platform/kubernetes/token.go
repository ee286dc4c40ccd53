package kubernetes

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
)

// tokenTTL is how long a minted token lives.
const tokenTTL = time.Hour

// MintToken makes a token bound to a Secret of its own, so that RevokeToken can end it. Secrets of tokens that have ended
// without having been revoked go at the next mint.
func (d *kubernetesDriver) MintToken(ctx context.Context, ref nhi.Ref) (driver.Token, error) {
	account, err := d.find(ctx, ref)
	if err != nil {
		return driver.Token{}, err
	}
	var ended []metav1.ObjectMeta
	s := selection{labels: tokenLabel + "=" + string(account.UID), metadataOnly: true}
	err = d.anchors(ctx, account.Namespace, s, func(m metav1.ObjectMeta) {
		if ends := credentialOf(m).ExpiresAt; !ends.IsZero() && time.Now().After(ends) {
			ended = append(ended, m)
		}
	})
	if err != nil {
		return driver.Token{}, err
	}
	for _, m := range ended {
		if err := d.removeAnchor(ctx, m); err != nil {
			return driver.Token{}, err
		}
	}
	ends := time.Now().Add(tokenTTL)
	anchor := newAnchor(account, tokenLabel, ends)
	anchor.GenerateName = "nhi-token-"
	if err := d.api.create(ctx, core(anchor.Namespace, secrets, ""), anchor, false); err != nil {
		return driver.Token{}, err
	}
	text, err := d.token(ctx, account, anchor, ends)
	if err != nil {
		return driver.Token{}, err
	}
	return driver.Token{Secret: text, ExpiresAt: credentialOf(anchor.ObjectMeta).ExpiresAt}, nil
}

// claims are those of a token that Kubernetes made
// (https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/).
type claims struct {
	Kubernetes struct {
		Namespace string `json:"namespace"`
		Secret    struct {
			Name string    `json:"name"`
			UID  types.UID `json:"uid"`
		} `json:"secret"`
	} `json:"kubernetes.io"`
}

// RevokeToken deletes the Secret that the token is bound to, if it is one that MintToken made. Which one that is stands in the
// token, also in one that the API server does not vouch for: it says that of tokens, too, about which it could not look. A
// forged token could name no other Secret than that of a minted one.
func (d *kubernetesDriver) RevokeToken(ctx context.Context, token secret.Value) error {
	if token.IsZero() {
		return driver.Errorf(driver.Invalid, "there is no token to revoke")
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token.Reveal()}}
	at := place{group: authenticationv1.SchemeGroupVersion, resource: "tokenreviews"}
	var answer authenticationv1.TokenReview
	if err := d.api.ask(ctx, at, review, &answer); err != nil {
		return err
	}
	if answer.Spec.Token != token.Reveal() { // The question comes back with the answer.
		return driver.Errorf(driver.Unknown, "what answers the review of a token is not Kubernetes")
	}
	c, err := claimsOf(token)
	switch {
	case err != nil && answer.Status.Authenticated:
		return err
	case err != nil:
		return nil //nolint:nilerr // It is no token.
	}
	anchor := &corev1.Secret{}
	p := core(c.Kubernetes.Namespace, secrets, c.Kubernetes.Secret.Name)
	err = d.api.get(ctx, p, anchor)
	switch {
	case isAbsent(err, secrets):
		return nil
	case err != nil:
		return err
	case anchor.UID != c.Kubernetes.Secret.UID:
		return nil
	case anchor.Labels[tokenLabel] == "":
		return driver.Errorf(driver.Invalid, "the token was not made by this provider: it is bound to the Secret %q", anchor.Name)
	}
	return d.removeAnchor(ctx, anchor.ObjectMeta)
}

func claimsOf(token secret.Value) (claims, error) {
	var out claims
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) == 3 {
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && json.Unmarshal(payload, &out) == nil && out.Kubernetes.Secret.Name != "" {
			return out, nil
		}
	}
	return out, driver.Errorf(driver.Invalid, "the token is not bound to a Secret: this provider did not make it and cannot revoke it")
}
