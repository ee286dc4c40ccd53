package kubernetes

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/nhi"
)

// Grant makes one binding per entitlement. Kubernetes has no transaction: before it changes anything it checks that every
// role exists, and lets the API server try all bindings without keeping them, so that a refusal comes first.
func (d *kubernetesDriver) Grant(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	account, err := d.find(ctx, ref)
	if err != nil {
		return err
	}
	p := principalOf(account)
	var wanted []grantedRole
	for _, e := range entitlements {
		r, err := d.grantable(ctx, e)
		if err != nil {
			return err
		}
		wanted = append(wanted, r)
	}
	if len(wanted) > 1 {
		for _, r := range wanted {
			if err := d.bind(ctx, p, r, true); err != nil {
				return err
			}
		}
	}
	for _, r := range wanted {
		if err := d.bind(ctx, p, r, false); err != nil {
			return err
		}
	}
	return nil
}

// grantable checks that the role of e and its namespace exist.
func (d *kubernetesDriver) grantable(ctx context.Context, e nhi.Entitlement) (grantedRole, error) {
	if e.Type != typeClusterRole && e.Type != typeNamespace {
		return grantedRole{}, driver.Errorf(driver.Unsupported, "%s cannot be granted in Kubernetes", e)
	}
	r := roleOf(e)
	if err := checkRoleName(r.name); err != nil {
		return r, driver.Errorf(driver.Invalid, "%s: %w", e, err)
	}
	if err := d.spec.CheckView(e); err != nil {
		return r, err
	}
	var role object = &rbacv1.Role{}
	at := rbac(r.namespace, roles, r.name)
	if r.kind == permClusterRole {
		role, at = &rbacv1.ClusterRole{}, rbac("", clusterRoles, r.name)
		if r.namespace != "" {
			if err := d.wantNamespace(ctx, r.namespace); err != nil {
				return r, err
			}
		}
	}
	err := d.api.get(ctx, at, role)
	if isAbsent(err, at.resource) {
		return r, driver.Errorf(driver.Invalid, "there is no role for %s", e)
	}
	return r, err
}

func (d *kubernetesDriver) wantNamespace(ctx context.Context, name string) error {
	err := d.api.get(ctx, core("", "namespaces", name), &corev1.Namespace{})
	if isAbsent(err, "namespaces") {
		return driver.Errorf(driver.Invalid, "there is no namespace %q", name)
	}
	return err
}

// bind makes the binding that gives r to p, or completes it where it exists. A dry run changes nothing.
func (d *kubernetesDriver) bind(ctx context.Context, p principal, r grantedRole, dryRun bool) error {
	at := bindingPlace(r.namespace, bindingName(p, r))
	err := d.api.create(ctx, at, newBinding(p, r), dryRun)
	switch {
	case err == nil:
		return nil
	case classify(err).Code != driver.AlreadyExists:
		return explainRefusal(err, r.name)
	case dryRun:
		return nil
	}
	b, err := d.readBinding(ctx, at)
	switch {
	case isAbsent(err, at.resource):
		return driver.Errorf(driver.Conflict, "the binding %q was deleted while it was made", at.name)
	case err != nil:
		return err
	case b.entitlement() != r.entitlement():
		// The role of a binding cannot be changed, and the name is not one that others would choose.
		return driver.Errorf(driver.AlreadyExists, "the binding %q, which is to give %s, gives %s: delete it", at.name, r.entitlement(), b.entitlement())
	}
	return d.enlist(ctx, b, p)
}

// explainRefusal says what to do where the API server refuses to let the driver give more than it has.
func explainRefusal(err error, role string) error {
	if classify(err).Code != driver.PermissionDenied {
		return err
	}
	return driver.Errorf(driver.PermissionDenied, "%w; Kubernetes lets nobody give rights that they lack: allow the provider the verb "+
		"\"bind\" on the role %q, or give it that role's own rights", err, role)
}

// Revoke takes the account out of every binding that gives one of the entitlements.
func (d *kubernetesDriver) Revoke(ctx context.Context, ref nhi.Ref, entitlements []nhi.Entitlement) error {
	if _, err := d.find(ctx, ref); err != nil {
		return gone(err)
	}
	p, err := d.locate(ref.Name)
	if err != nil || len(entitlements) == 0 {
		return err
	}
	if err := d.spec.CheckRecorded(entitlements); err != nil {
		return err
	}
	all, err := d.bindings(ctx)
	if err != nil {
		return err
	}
	for _, b := range all {
		if b.names(p) && slices.Contains(entitlements, b.entitlement()) {
			if err := d.dismiss(ctx, b, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// Explain adds what the account comes by as a member of the groups of all ServiceAccounts, of those of its namespace, and
// of all who have logged in.
func (d *kubernetesDriver) Explain(ctx context.Context, ref nhi.Ref) ([]driver.Holding, error) {
	account, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	all, err := d.bindings(ctx)
	if err != nil {
		return nil, err
	}
	p := principalOf(account)
	var out []driver.Holding
	for _, b := range all {
		if b.names(p) {
			out = append(out, driver.Holding{Entitlement: b.entitlement()})
		}
	}
	return driver.SortHoldings(append(out, inherited(p, all)...)), nil
}

// ExplainAll is a sweep, and one more reading of the bindings.
func (d *kubernetesDriver) ExplainAll(ctx context.Context, page func([]driver.Explained) error) error {
	all, err := d.bindings(ctx)
	if err != nil {
		return err
	}
	return d.Sweep(ctx, driver.SweepFilter{}, func(accounts []nhi.Account) error {
		out := make([]driver.Explained, len(accounts))
		for i, account := range accounts {
			p, err := d.locate(account.Name)
			if err != nil {
				return err
			}
			holdings := inherited(p, all)
			for _, e := range account.Entitlements {
				holdings = append(holdings, driver.Holding{Entitlement: e})
			}
			out[i] = driver.Explained{Account: account, Holdings: driver.SortHoldings(holdings)}
		}
		return page(out)
	})
}

// inherited is what an account comes by through groups.
func inherited(p principal, all []binding) []driver.Holding {
	groups := []string{"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:" + p.namespace}
	var out []driver.Holding
	for _, b := range all {
		for _, s := range b.subjects {
			if s.Kind == rbacv1.GroupKind && slices.Contains(groups, s.Name) {
				out = append(out, driver.Holding{Entitlement: b.entitlement(), Via: []string{"group:" + s.Name}})
			}
		}
	}
	return out
}
