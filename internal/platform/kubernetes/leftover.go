package kubernetes

import (
	"context"
	"strings"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
)

// dismissAll takes the account out of all bindings, or out of those alone that this driver made. It goes as far as it can,
// and returns one error for each binding that still names the account, and for each place where that cannot be known.
func (d *kubernetesDriver) dismissAll(ctx context.Context, p principal, oursOnly bool) []error {
	var left []error
	all, err := d.clusterBindings(ctx)
	if err != nil {
		left = append(left, unread(err, p, "ClusterRoleBindings", "kubectl get clusterrolebindings --output wide"))
	}
	for _, scope := range d.scopes {
		what, which := "RoleBindings of all namespaces", " --all-namespaces"
		if scope != "" {
			what, which = "RoleBindings of namespace \""+scope+"\"", " --namespace "+scope
		}
		more, err := d.namespaceBindings(ctx, scope)
		if err != nil {
			left = append(left, unread(err, p, what, "kubectl get rolebindings"+which+" --output wide"))
		}
		all = append(all, more...)
	}
	for _, b := range all {
		if !b.names(p) || oursOnly && !b.isOurs() {
			continue
		}
		if err := d.dismiss(ctx, b, p); err != nil {
			left = append(left, b.leftTo(p, err))
		}
	}
	return left
}

// unread says that some of what is listed may name the account, and how to look.
func unread(err error, p principal, what, command string) error {
	return driver.Errorf(leftoverCode(err), "the %s could not be listed, and one that names the ServiceAccount %s/%s would give its "+
		"rights to the next one of that name: allow the provider to list them, or let somebody look who may (%s): %w",
		what, p.namespace, p.name, command, err)
}

// leftTo says that the binding still names the account, and who can change that how.
func (b binding) leftTo(p principal, err error) error {
	kind, which := "ClusterRoleBinding", ""
	if b.meta.Namespace != "" {
		kind, which = "RoleBinding", "--namespace "+b.meta.Namespace+" "
	}
	return driver.Errorf(leftoverCode(err), "the %s %q still names the ServiceAccount %s/%s, and would give %s to the next one of that "+
		"name; let somebody who may do so take it out of the subjects (kubectl edit %s %s%s): %w",
		kind, b.meta.Name, p.namespace, p.name, b.entitlement(), strings.ToLower(kind), which, quoted(b.meta.Name), err)
}

// leftoverCode is the code of err, which never says that something is absent: if the role of a binding is, the binding is
// there and lies in wait for it.
func leftoverCode(err error) driver.Code {
	if code := classify(err).Code; code != driver.NotFound {
		return code
	}
	return driver.PermissionDenied
}

// quoted is a text as one word of a POSIX shell: names of bindings may hold almost any character.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
