package kubernetes

import (
	"context"
	"fmt"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/version"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/guard"
)

// systemNamespace is in every cluster from its beginning; its UID is the cluster's.
const systemNamespace = "kube-system"

// need is a right that the driver uses.
type need struct {
	group, resource, sub string
	verbs                []string
	without              string
	cluster              bool // the resource is in no namespace
	always               bool // every change needs it
}

// needs are the rights of the manifest in the documentation of this kind, with what fails without each. Whether a role
// may be bound is not among them: that is decided role by role.
var needs = []need{
	{"", serviceAccounts, "", []string{"get", "list", "create"}, "read and make ServiceAccounts", false, true},
	{rbacv1.GroupName, clusterRoleBindings, "", []string{"list"}, "list ClusterRoleBindings", true, true},
	{rbacv1.GroupName, roleBindings, "", []string{"list"}, "list RoleBindings", false, true},
	{"", secrets, "", []string{"list"}, "list the Secrets that tokens are bound to", false, true},
	{"", serviceAccounts, "", []string{"patch", "delete"}, "change and delete ServiceAccounts", false, false},
	{"", serviceAccounts, "token", []string{"create"}, "request tokens", false, false},
	{"", secrets, "", []string{"get", "create", "update", "patch", "delete"}, "issue and revoke tokens, and keep secrets", false, false},
	{rbacv1.GroupName, roleBindings, "", []string{"get", "create", "patch", "delete"}, "change RoleBindings", false, false},
	{rbacv1.GroupName, clusterRoleBindings, "", []string{"get", "create", "patch", "delete"}, "change ClusterRoleBindings", true, false},
	{rbacv1.GroupName, roles, "", []string{"get"}, "see whether a Role exists", false, false},
	{rbacv1.GroupName, clusterRoles, "", []string{"get"}, "see whether a ClusterRole exists", true, false},
	{"", "namespaces", "", []string{"get"}, "see whether a namespace exists", true, false},
	{"authentication.k8s.io", "tokenreviews", "", []string{"create"}, "revoke the tokens that it minted", true, false},
}

// Probe tells the cluster by the UID of its first namespace, and the platform by its own namespace besides, because that
// is part of what an account's name means.
func (d *kubernetesDriver) Probe(ctx context.Context) (driver.Target, error) {
	namespace := &corev1.Namespace{}
	if err := d.api.get(ctx, core("", "namespaces", systemNamespace), namespace); err != nil {
		if classify(err).Code == driver.PermissionDenied {
			err = fmt.Errorf("the cluster is known by the UID of the namespace %s: allow the provider to get it: %w", systemNamespace, err)
		}
		return driver.Target{}, err
	}
	var info version.Info
	if err := d.api.version(ctx, &info); err != nil {
		return driver.Target{}, err
	}
	target := driver.Target{ID: "kubernetes:" + string(namespace.UID) + "/" + d.namespace, Version: info.GitVersion}
	if d.scopes[0] != "" {
		target.Blind = append(target.Blind, "RoleBindings are seen only in the namespaces "+strings.Join(d.scopes, ", ")+".")
	}
	err := d.shortcomings(ctx, &target)
	return target, err
}

// shortcomings asks the API server about every need, in every namespace, at once.
func (d *kubernetesDriver) shortcomings(ctx context.Context, target *driver.Target) error {
	type question struct {
		need  need
		scope string
		verb  string
	}
	var questions []question
	for _, n := range needs {
		scopes := d.scopes
		if n.cluster {
			scopes = []string{""}
		}
		for _, scope := range scopes {
			for _, verb := range n.verbs {
				questions = append(questions, question{n, scope, verb})
			}
		}
	}
	allowed, errs := make([]bool, len(questions)), make([]error, len(questions))
	var wg sync.WaitGroup
	turn := make(chan struct{}, 8)
	for i, q := range questions {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			errs[i] = guard.Call(ctx, "the driver", func() (err error) {
				allowed[i], err = d.may(ctx, q.need, q.scope, q.verb)
				return err
			})
		})
	}
	wg.Wait()
	missing := map[string][]string{}
	for i, q := range questions {
		if errs[i] != nil {
			return errs[i]
		}
		if !allowed[i] {
			missing[q.need.without] = append(missing[q.need.without], where(q.verb, q.need, q.scope))
		}
	}
	for _, n := range needs {
		if len(missing[n.without]) == 0 {
			continue
		}
		sentence := fmt.Sprintf("The provider may not %s: it lacks %s.", n.without, strings.Join(missing[n.without], ", "))
		if n.always {
			target.Lacking = append(target.Lacking, sentence)
		} else {
			target.Blind = append(target.Blind, sentence)
		}
	}
	return nil
}

// where says a right as a rule of RBAC does.
func where(verb string, n need, scope string) string {
	resource := n.resource
	if n.sub != "" {
		resource += "/" + n.sub
	}
	if n.group != "" {
		resource += "." + n.group
	}
	text := fmt.Sprintf("%q on %s", verb, resource)
	if scope != "" {
		text += " in " + scope
	}
	return text
}

func (d *kubernetesDriver) may(ctx context.Context, n need, scope, verb string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: scope, Verb: verb, Group: n.group, Resource: n.resource, Subresource: n.sub,
		},
	}}
	at := place{group: authorizationv1.SchemeGroupVersion, resource: "selfsubjectaccessreviews"}
	var answer authorizationv1.SelfSubjectAccessReview
	err := d.api.ask(ctx, at, review, &answer)
	return answer.Status.Allowed, err
}
