package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const serviceAccounts = "serviceaccounts"

// principal is a ServiceAccount by its name; Kubernetes knows subjects of bindings by no other.
type principal struct{ namespace, name string }

// username is how the account is called when it logs in.
func (p principal) username() string { return "system:serviceaccount:" + p.namespace + ":" + p.name }

func (p principal) place() place { return core(p.namespace, serviceAccounts, p.name) }

// locate reads an account name.
func (d *kubernetesDriver) locate(text string) (principal, error) {
	if err := checkAccountName(text, d.namespace); err != nil {
		return principal{}, driver.Errorf(driver.Invalid, "account name %q: %w", text, err)
	}
	p := principal{namespace: d.namespace, name: text}
	if namespace, name, found := strings.Cut(text, "/"); found {
		p = principal{namespace: namespace, name: name}
	}
	if !d.covers(p.namespace) {
		return p, driver.Errorf(driver.Invalid, "account %q is in a namespace that is not among the platform's namespaces", text)
	}
	return p, nil
}

// nameOf is the reverse of locate.
func (d *kubernetesDriver) nameOf(p principal) string {
	if p.namespace == d.namespace {
		return p.name
	}
	return p.namespace + "/" + p.name
}

// find reads the ServiceAccount that ref addresses. One of that name with another UID is another account.
func (d *kubernetesDriver) find(ctx context.Context, ref nhi.Ref) (*corev1.ServiceAccount, error) {
	p, err := d.locate(ref.Name)
	if err != nil {
		return nil, err
	}
	account := &corev1.ServiceAccount{}
	if err := d.api.get(ctx, p.place(), account); err != nil {
		return nil, err
	}
	if ref.ID != "" && string(account.UID) != ref.ID {
		return nil, driver.Errorf(driver.NotFound, "the ServiceAccount %q has the UID %s now; the one with %s is gone",
			ref.Name, account.UID, ref.ID)
	}
	return account, nil
}

func principalOf(account *corev1.ServiceAccount) principal {
	return principal{namespace: account.Namespace, name: account.Name}
}

// ReadAccount returns the account whole.
func (d *kubernetesDriver) ReadAccount(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	account, err := d.find(ctx, ref)
	if err != nil {
		return nhi.Account{}, err
	}
	held, err := d.holdings(ctx)
	if err != nil {
		return nhi.Account{}, err
	}
	tokens, err := d.credentials(ctx, account.Namespace, credentialLabel+"="+string(account.UID))
	if err != nil {
		return nhi.Account{}, err
	}
	return d.whole(account, held, tokens), nil
}

// ReadMark reads the ServiceAccount and nothing else.
func (d *kubernetesDriver) ReadMark(ctx context.Context, ref nhi.Ref) (nhi.Account, error) {
	account, err := d.find(ctx, ref)
	if err != nil {
		return nhi.Account{}, err
	}
	return d.whole(account, nil, nil), nil
}

// Sweep lists bindings and the metadata of token Secrets, then the ServiceAccounts page by page.
func (d *kubernetesDriver) Sweep(ctx context.Context, filter driver.SweepFilter, page func([]nhi.Account) error) error {
	held, err := d.holdings(ctx)
	if err != nil {
		return err
	}
	s := selection{}
	if filter.Stack != "" {
		s.labels = stackLabel + "=" + stackValue(filter.Stack)
	}
	for _, scope := range d.scopes {
		tokens, err := d.credentials(ctx, scope, credentialLabel)
		if err != nil {
			return err
		}
		newList := func() *corev1.ServiceAccountList { return &corev1.ServiceAccountList{} }
		err = list(ctx, d, core(scope, serviceAccounts, ""), s, newList, func(found *corev1.ServiceAccountList) error {
			var accounts []nhi.Account
			for i := range found.Items {
				accounts = append(accounts, d.whole(&found.Items[i], held, tokens))
			}
			return page(accounts)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *kubernetesDriver) whole(account *corev1.ServiceAccount, held holdings, tokens credentials) nhi.Account {
	p := principalOf(account)
	return nhi.Account{
		Ref:          nhi.Ref{Name: d.nameOf(p), ID: string(account.UID)},
		Mark:         markOf(account),
		Status:       nhi.Active,
		Entitlements: held.of(p),
		Credentials:  tokens[string(account.UID)],
		Settings: map[string]string{
			settingAutomount: strconv.FormatBool(account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken),
		},
	}
}

// markOf returns the mark of which annotation and label agree.
func markOf(account metav1.Object) nhi.Mark {
	m := nhi.FindMark(account.GetAnnotations()[markAnnotation])
	if m.IsZero() || account.GetLabels()[stackLabel] != stackValue(m.Stack) {
		return nhi.Mark{}
	}
	return m
}

var labelValue = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)

// stackValue is a stack as the value of a label, which must also end with a letter or digit.
func stackValue(stack string) string {
	if labelValue.MatchString(stack) {
		return stack
	}
	sum := sha256.Sum256([]byte(stack))
	return "stack-" + hex.EncodeToString(sum[:16])
}

// CreateAccount makes a ServiceAccount with its mark.
func (d *kubernetesDriver) CreateAccount(ctx context.Context, spec driver.AccountSpec) (nhi.Ref, error) {
	p, err := d.locate(spec.Name)
	if err != nil {
		return nhi.Ref{}, err
	}
	automount, err := automountOf(spec.Settings)
	if err != nil {
		return nhi.Ref{}, err
	}
	account := &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.namespace, Name: p.name,
			Annotations: map[string]string{markAnnotation: spec.Mark.String()},
			Labels:      map[string]string{stackLabel: stackValue(spec.Mark.Stack)},
		},
		AutomountServiceAccountToken: automount,
	}
	if err := d.api.create(ctx, p.place(), account, false); err != nil {
		return nhi.Ref{}, inNamespace(err, p.namespace)
	}
	return nhi.Ref{Name: spec.Name, ID: string(account.UID)}, nil
}

// inNamespace says what the absence of the namespace means for an object to make in it.
func inNamespace(err error, namespace string) error {
	if isAbsent(err, "namespaces") {
		return driver.Errorf(driver.Invalid, "there is no namespace %q: make it first", namespace)
	}
	return err
}

// automountOf returns nil where the settings do not say.
func automountOf(settings map[string]string) (*bool, error) {
	var out *bool
	for name, text := range settings {
		value, err := strconv.ParseBool(text)
		if name != settingAutomount || err != nil || strconv.FormatBool(value) != text {
			return nil, driver.Errorf(driver.Invalid, "Kubernetes accounts have no setting %q with the value %q", name, text)
		}
		out = &value
	}
	return out, nil
}

// accountPatch changes a ServiceAccount. A nil text removes an annotation or label.
type accountPatch struct {
	Metadata  patchMetadata `json:"metadata"`
	Automount *bool         `json:"automountServiceAccountToken,omitempty"`
}

type patchMetadata struct {
	UID             types.UID          `json:"uid,omitempty"`
	ResourceVersion string             `json:"resourceVersion,omitempty"`
	Annotations     map[string]*string `json:"annotations,omitempty"`
	Labels          map[string]*string `json:"labels,omitempty"`
}

// UpdateAccount changes mark and settings in one request, Conflict if the ServiceAccount changed meanwhile.
func (d *kubernetesDriver) UpdateAccount(ctx context.Context, ref nhi.Ref, change driver.AccountChange) error {
	automount, err := automountOf(change.Settings)
	if err != nil {
		return err
	}
	account, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	out := accountPatch{
		Metadata:  patchMetadata{UID: account.UID, ResourceVersion: account.ResourceVersion},
		Automount: automount,
	}
	if change.Mark != nil {
		var mark, stack *string
		if !change.Mark.IsZero() {
			text, value := change.Mark.String(), stackValue(change.Mark.Stack)
			mark, stack = &text, &value
		}
		out.Metadata.Annotations = map[string]*string{markAnnotation: mark}
		out.Metadata.Labels = map[string]*string{stackLabel: stack}
	}
	if change.Mark == nil && automount == nil {
		return nil
	}
	return d.api.patch(ctx, principalOf(account).place(), out)
}

// DeleteAccount takes the account out of all bindings, because they would give what they give to the next ServiceAccount
// of this name; then it deletes the account and the Secrets of its tokens. Bindings come first: of a run that is killed
// between the two the account is still there to tell. One that cannot be read or changed holds nothing up, because nothing
// but the deletion ends the account's tokens; it is named in a LeftoverError then, and again in every later call with the
// account's ID, until it names the account no longer. Where only the name of an account is given, and it is not there, the
// bindings that this driver made are removed and those of others are left to whom they may be meant for. If the deletion itself
// fails, it may have taken effect all the same: called again, this says what is left.
func (d *kubernetesDriver) DeleteAccount(ctx context.Context, ref nhi.Ref) error {
	p, err := d.locate(ref.Name)
	if err != nil {
		return err
	}
	account := &corev1.ServiceAccount{}
	err = d.api.get(ctx, p.place(), account)
	absent := isAbsent(err, serviceAccounts)
	switch {
	case err != nil && !absent:
		return err
	case !absent && ref.ID != "" && string(account.UID) != ref.ID:
		return nil // Another account has the name, and with it the bindings.
	}
	uid, left := types.UID(ref.ID), d.dismissAll(ctx, p, absent && ref.ID == "")
	if !absent {
		uid = account.UID
		if err := d.api.remove(ctx, p.place(), metav1.Preconditions{UID: &uid}); err != nil {
			return besides(err, left)
		}
	}
	if uid != "" {
		if err := d.removeAnchors(ctx, p.namespace, uid); err != nil {
			left = append(left, fmt.Errorf("the Secrets of its tokens, which hold nothing: %w", err))
		}
	}
	if len(left) > 0 {
		return &driver.LeftoverError{Err: errors.Join(left...)}
	}
	return nil
}

// besides returns err, which decides what the failure is, and tells what is left.
func besides(err error, left []error) error {
	if len(left) == 0 {
		return err
	}
	return fmt.Errorf("%w\n%v", err, errors.Join(left...)) //nolint:errorlint // a code of left must not pass for that of err
}
