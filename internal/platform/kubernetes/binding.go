package kubernetes

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

const (
	clusterRoleBindings = "clusterrolebindings"
	roleBindings        = "rolebindings"
	clusterRoles        = "clusterroles"
	roles               = "roles"
)

// binding is a RoleBinding or, without a namespace, a ClusterRoleBinding.
type binding struct {
	meta     metav1.ObjectMeta
	ref      rbacv1.RoleRef
	subjects []rbacv1.Subject
}

func (b binding) place() place { return bindingPlace(b.meta.Namespace, b.meta.Name) }

func bindingPlace(namespace, name string) place {
	if namespace == "" {
		return rbac("", clusterRoleBindings, name)
	}
	return rbac(namespace, roleBindings, name)
}

// isOurs reports whether this driver made the binding. It then has one subject, and goes with it.
func (b binding) isOurs() bool { return b.meta.Labels[managedLabel] == managedValue }

// isSubject reports whether s is the account itself, which can stand in a binding as a ServiceAccount or as a user.
func (b binding) isSubject(s rbacv1.Subject, p principal) bool {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		return s.Name == p.name && cmp.Or(s.Namespace, b.meta.Namespace) == p.namespace
	case rbacv1.UserKind:
		return s.Name == p.username()
	default:
		return false
	}
}

func (b binding) names(p principal) bool {
	return slices.ContainsFunc(b.subjects, func(s rbacv1.Subject) bool { return b.isSubject(s, p) })
}

// entitlement is what the binding gives to its subjects.
func (b binding) entitlement() nhi.Entitlement {
	kind := permRole
	if b.ref.Kind == "ClusterRole" {
		kind = permClusterRole
	}
	e := grantedRole{namespace: b.meta.Namespace, kind: kind, name: b.ref.Name}.entitlement()
	if again, err := Spec().Grammar.Parse(e.String()); err != nil || again != e {
		return nhi.Entitlement{Type: typeBinding, Target: b.meta.Namespace + "/" + b.meta.Name}
	}
	return e
}

// bindings lists all ClusterRoleBindings, and the RoleBindings of all namespaces that the driver looks at. A namespace
// that may not be read makes it fail: what an account holds there is then unknown, not nothing.
func (d *kubernetesDriver) bindings(ctx context.Context) ([]binding, error) {
	out, err := d.clusterBindings(ctx)
	if err != nil {
		return nil, err
	}
	for _, scope := range d.scopes {
		more, err := d.namespaceBindings(ctx, scope)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

func (d *kubernetesDriver) clusterBindings(ctx context.Context) ([]binding, error) {
	var out []binding
	newList := func() *rbacv1.ClusterRoleBindingList { return &rbacv1.ClusterRoleBindingList{} }
	err := list(ctx, d, rbac("", clusterRoleBindings, ""), selection{}, newList, func(page *rbacv1.ClusterRoleBindingList) error {
		for _, b := range page.Items {
			out = append(out, binding{meta: b.ObjectMeta, ref: b.RoleRef, subjects: b.Subjects})
		}
		return nil
	})
	return out, err
}

func (d *kubernetesDriver) namespaceBindings(ctx context.Context, namespace string) ([]binding, error) {
	var out []binding
	newList := func() *rbacv1.RoleBindingList { return &rbacv1.RoleBindingList{} }
	err := list(ctx, d, rbac(namespace, roleBindings, ""), selection{}, newList, func(page *rbacv1.RoleBindingList) error {
		for _, b := range page.Items {
			out = append(out, binding{meta: b.ObjectMeta, ref: b.RoleRef, subjects: b.Subjects})
		}
		return nil
	})
	return out, err
}

// readBinding reads one binding again.
func (d *kubernetesDriver) readBinding(ctx context.Context, p place) (binding, error) {
	if p.namespace == "" {
		b := &rbacv1.ClusterRoleBinding{}
		err := d.api.get(ctx, p, b)
		return binding{meta: b.ObjectMeta, ref: b.RoleRef, subjects: b.Subjects}, err
	}
	b := &rbacv1.RoleBinding{}
	err := d.api.get(ctx, p, b)
	return binding{meta: b.ObjectMeta, ref: b.RoleRef, subjects: b.Subjects}, err
}

// holdings are direct entitlements by the user name of who holds them.
type holdings map[string][]nhi.Entitlement

func (h holdings) of(p principal) []nhi.Entitlement {
	return nhi.SortEntitlements(slices.Clone(h[p.username()]))
}

func (d *kubernetesDriver) holdings(ctx context.Context) (holdings, error) {
	all, err := d.bindings(ctx)
	if err != nil {
		return nil, err
	}
	out := holdings{}
	for _, b := range all {
		for _, s := range b.subjects {
			user := s.Name
			if s.Kind == rbacv1.ServiceAccountKind {
				user = principal{cmp.Or(s.Namespace, b.meta.Namespace), s.Name}.username()
			}
			if s.Kind == rbacv1.ServiceAccountKind || s.Kind == rbacv1.UserKind {
				out[user] = append(out[user], b.entitlement())
			}
		}
	}
	return out, nil
}

// bindingName is the name of the binding that gives r to p. It is the same each time, so that two runs make one.
func bindingName(p principal, r grantedRole) string {
	sum := sha256.Sum256([]byte(p.username() + "\x00" + r.namespace + "\x00" + r.kind + "\x00" + r.name))
	return "nhi-" + hex.EncodeToString(sum[:16])
}

// newBinding returns the binding that gives r to p, as an object to create.
func newBinding(p principal, r grantedRole) object {
	meta := metav1.ObjectMeta{
		Name: bindingName(p, r), Namespace: r.namespace, Labels: map[string]string{managedLabel: managedValue},
	}
	kind := "Role"
	if r.kind == permClusterRole {
		kind = "ClusterRole"
	}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: r.name}
	subjects := []rbacv1.Subject{subjectOf(p)}
	if r.namespace == "" {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}
	}
	return &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}
}

func subjectOf(p principal) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: p.namespace, Name: p.name}
}

// bindingPatch replaces the subjects of a binding.
type bindingPatch struct {
	Metadata patchMetadata    `json:"metadata"`
	Subjects []rbacv1.Subject `json:"subjects"`
}

// attempts bounds how often a binding is read anew because somebody else changed it at the same time.
const attempts = 10

// change gives a binding the subjects that edit returns, re-reading it when somebody else was faster. edit returns false
// if there is nothing to change. A binding of ours without subjects is deleted; one that somebody else made stays, empty.
func (d *kubernetesDriver) change(ctx context.Context, b binding, edit func(binding) ([]rbacv1.Subject, bool)) error {
	for range attempts {
		subjects, needed := edit(b)
		if !needed {
			return nil
		}
		uid, version := b.meta.UID, b.meta.ResourceVersion
		var err error
		if len(subjects) == 0 && b.isOurs() {
			err = d.api.remove(ctx, b.place(), metav1.Preconditions{UID: &uid, ResourceVersion: &version})
		} else {
			err = d.api.patch(ctx, b.place(), bindingPatch{
				Metadata: patchMetadata{UID: uid, ResourceVersion: version}, Subjects: subjects,
			})
		}
		if err == nil {
			return nil
		}
		if code := classify(err).Code; code != driver.Conflict && !isAbsent(err, b.place().resource) {
			return explainRefusal(err, b.ref.Name)
		}
		if b, err = d.readBinding(ctx, b.place()); err != nil {
			return gone(err)
		}
	}
	return driver.Errorf(driver.Conflict, "others keep changing the %s %q", b.place().resource, b.meta.Name)
}

// dismiss takes the account out of a binding.
func (d *kubernetesDriver) dismiss(ctx context.Context, b binding, p principal) error {
	return d.change(ctx, b, func(b binding) ([]rbacv1.Subject, bool) {
		rest := slices.DeleteFunc(slices.Clone(b.subjects), func(s rbacv1.Subject) bool { return b.isSubject(s, p) })
		if rest == nil {
			rest = []rbacv1.Subject{}
		}
		return rest, len(rest) < len(b.subjects)
	})
}

// enlist puts the account into a binding that exists.
func (d *kubernetesDriver) enlist(ctx context.Context, b binding, p principal) error {
	return d.change(ctx, b, func(b binding) ([]rbacv1.Subject, bool) {
		return append(slices.Clone(b.subjects), subjectOf(p)), !b.names(p)
	})
}
