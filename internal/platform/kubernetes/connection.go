package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/nhi-labs/terraform-provider-nhi/internal/driver"
	"github.com/nhi-labs/terraform-provider-nhi/internal/secret"
	"github.com/nhi-labs/terraform-provider-nhi/internal/transport"
)

// maxBody bounds what is read of one answer. The largest is a page of role bindings.
const maxBody = 128 << 20

// connection sends requests to one API server. It never repeats one. It uses client-go's REST client with the four API
// groups that are needed, because the typed clients link every group there is.
type connection struct {
	http   *http.Client
	config *rest.Config
	groups map[schema.GroupVersion]*rest.RESTClient
	codecs serializer.CodecFactory
}

func connect(cfg Config) (*connection, error) {
	config, err := restConfig(cfg)
	if err != nil {
		return nil, err
	}
	if err := checkTLS(config, cfg.AllowPlainHTTP); err != nil {
		return nil, err
	}
	config.Timeout = cfg.Timeout
	config.QPS = -1 // Limits and repetitions are the caller's.
	config.UserAgent = managedValue
	config.WarningHandler = rest.NoWarnings{}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, rbacv1.AddToScheme, authenticationv1.AddToScheme, authorizationv1.AddToScheme, metav1.AddMetaToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	c := &connection{config: config, codecs: serializer.NewCodecFactory(scheme)}
	if c.http, err = httpClient(config); err != nil {
		return nil, fmt.Errorf("the login to Kubernetes: %w", err)
	}
	c.groups, err = c.clients(config, c.http)
	return c, err
}

// httpClient returns the client for config. Without the guard it would give its token to whatever host a redirect names.
func httpClient(config *rest.Config) (*http.Client, error) {
	made, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: transport.Guard{Next: closing{made.Transport}, MaxBody: maxBody}, Timeout: made.Timeout}, nil
}

// closing lets http.Client reach the pool of connections, which client-go hides behind what adds the login to requests.
type closing struct{ http.RoundTripper }

// CloseIdleConnections is what http.Client looks for.
func (c closing) CloseIdleConnections() { utilnet.CloseIdleConnectionsFor(c.RoundTripper) }

// clients returns a client for each API group.
func (c *connection) clients(config *rest.Config, client *http.Client) (map[schema.GroupVersion]*rest.RESTClient, error) {
	out := map[schema.GroupVersion]*rest.RESTClient{}
	for _, group := range []schema.GroupVersion{
		corev1.SchemeGroupVersion, rbacv1.SchemeGroupVersion, authenticationv1.SchemeGroupVersion, authorizationv1.SchemeGroupVersion,
	} {
		one := rest.CopyConfig(config)
		one.GroupVersion, one.APIPath = &group, "/apis"
		if group.Group == "" {
			one.APIPath = "/api"
		}
		one.NegotiatedSerializer = c.codecs.WithoutConversion()
		made, err := rest.RESTClientForConfigAndClient(one, client)
		if err != nil {
			return nil, fmt.Errorf("the address of Kubernetes: %w", err)
		}
		out[group] = made
	}
	return out, nil
}

func restConfig(cfg Config) (*rest.Config, error) {
	given := 0
	for _, is := range []bool{cfg.Kubeconfig != "", cfg.Host != "", cfg.InCluster} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return nil, errors.New("say where the cluster is by one of: a kubeconfig file, a host, or in_cluster")
	case cfg.InCluster:
		return rest.InClusterConfig()
	case cfg.Kubeconfig != "":
		rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: cfg.Kubeconfig}
		overrides := &clientcmd.ConfigOverrides{CurrentContext: cfg.Context}
		return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	}
	if (cfg.ClientCertFile == "") != (cfg.ClientKeyFile == "") {
		return nil, errors.New("a client certificate needs both its certificate file and its key file")
	}
	return &rest.Config{
		Host: cfg.Host, BearerToken: cfg.Token.Reveal(),
		TLSClientConfig: rest.TLSClientConfig{
			CAFile: cfg.CACertFile, CertFile: cfg.ClientCertFile, KeyFile: cfg.ClientKeyFile, ServerName: cfg.TLSServerName,
		},
	}, nil
}

// checkTLS refuses a connection that others can read, or answer, unless it is to this machine or allowed.
func checkTLS(config *rest.Config, allowed bool) error {
	base, _, err := rest.DefaultServerUrlFor(config)
	switch {
	case err != nil:
		return driver.Errorf(driver.Invalid, "the address of Kubernetes: %w", err)
	case allowed || transport.IsLoopback(base.Hostname()):
		return nil
	case base.Scheme != "https":
		return driver.Errorf(driver.Invalid, "the connection to %s would be unencrypted: use https, or set allow_plain_http = true if it "+
			"is protected otherwise", base.Host)
	case config.Insecure:
		return driver.Errorf(driver.Invalid, "the kubeconfig file says insecure-skip-tls-verify, so that anybody could answer for %s and get "+
			"the credentials: name its certificate-authority instead, or set allow_plain_http = true if the connection is protected otherwise",
			base.Host)
	}
	return nil
}

// as returns a client of one group that logs in with token instead of the driver's own login.
func (c *connection) as(token secret.Value, group schema.GroupVersion) (*rest.RESTClient, error) {
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = token.Reveal()
	client, err := httpClient(config)
	if err != nil {
		return nil, err
	}
	clients, err := c.clients(config, client)
	return clients[group], err
}

// place is where an object or a list is: /apis/group/namespaces/namespace/resource/name/sub.
type place struct {
	group                          schema.GroupVersion
	namespace, resource, name, sub string
}

func core(namespace, resource, name string) place {
	return place{group: corev1.SchemeGroupVersion, namespace: namespace, resource: resource, name: name}
}

func rbac(namespace, resource, name string) place {
	return place{group: rbacv1.SchemeGroupVersion, namespace: namespace, resource: resource, name: name}
}

func (c *connection) request(verb string, p place) *rest.Request {
	return requestOf(c.groups[p.group], verb, p)
}

func requestOf(client *rest.RESTClient, verb string, p place) *rest.Request {
	r := client.Verb(verb).NamespaceIfScoped(p.namespace, p.namespace != "").Resource(p.resource).MaxRetries(0)
	if p.name != "" {
		r = r.Name(p.name)
	}
	if p.sub != "" {
		r = r.SubResource(p.sub)
	}
	return r
}

// object is what the API server stores.
type object interface {
	runtime.Object
	metav1.Object
}

// get reads one object into out, and refuses an answer that is not the object asked for.
func (c *connection) get(ctx context.Context, p place, out object) error {
	if err := c.request(http.MethodGet, p).Do(ctx).Into(out); err != nil {
		return err
	}
	if out.GetName() != p.name || out.GetNamespace() != p.namespace || out.GetUID() == "" {
		return driver.Errorf(driver.Unknown, "what answers the request for %s %q is not Kubernetes", p.resource, p.name)
	}
	return nil
}

// create makes an object and replaces in by what was stored. A dry run only tries.
func (c *connection) create(ctx context.Context, p place, in object, dryRun bool) error {
	name := p.name
	p.name = ""
	r := c.request(http.MethodPost, p).Body(in)
	if dryRun {
		r = r.Param("dryRun", metav1.DryRunAll)
	}
	if err := r.Do(ctx).Into(in); err != nil {
		return err
	}
	if in.GetUID() == "" || (name != "" && in.GetName() != name) {
		return driver.Errorf(driver.Unknown, "what answers the creation of %s %q is not Kubernetes", p.resource, name)
	}
	return nil
}

// ask posts a question (a review, a request for a token) and decodes the answer into out.
func (c *connection) ask(ctx context.Context, p place, in, out runtime.Object) error {
	return c.request(http.MethodPost, p).Body(in).Do(ctx).Into(out)
}

// replace writes an object that was read, Conflict if it changed since.
func (c *connection) replace(ctx context.Context, p place, in object) error {
	return c.request(http.MethodPut, p).Body(in).Do(ctx).Into(in)
}

// patch merges a change into an object (RFC 7386). A resource version in it makes it fail with Conflict if the object
// changed since.
func (c *connection) patch(ctx context.Context, p place, change any) error {
	body, err := json.Marshal(change)
	if err != nil {
		return err
	}
	return c.request(http.MethodPatch, p).SetHeader("Content-Type", string(types.MergePatchType)).Body(body).Do(ctx).Error()
}

// remove deletes the object with this UID, Conflict if another one has the name now. One that is gone is success.
func (c *connection) remove(ctx context.Context, p place, preconditions metav1.Preconditions) error {
	options := &metav1.DeleteOptions{Preconditions: &preconditions}
	options.APIVersion, options.Kind = "v1", "DeleteOptions"
	return gone(c.request(http.MethodDelete, p).Body(options).Do(ctx).Error())
}

// selection narrows a list on the server.
type selection struct {
	labels, fields string
	// metadataOnly leaves everything out but the metadata, so that Secrets are listed without what they hold.
	metadataOnly bool
}

const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// list reads all pages of a list. newList returns what a page is decoded into, page gets each one. All pages show the
// same moment; if the server no longer has it, the list fails.
func list[L interface {
	runtime.Object
	metav1.ListInterface
}](ctx context.Context, d *kubernetesDriver, p place, s selection, newList func() L, page func(L) error) error {
	next := ""
	for {
		r := d.api.request(http.MethodGet, p).Param("limit", strconv.Itoa(d.pageSize))
		for name, value := range map[string]string{"labelSelector": s.labels, "fieldSelector": s.fields, "continue": next} {
			if value != "" {
				r = r.Param(name, value)
			}
		}
		if s.metadataOnly {
			r = r.SetHeader("Accept", metadataOnly)
		}
		out := newList()
		if err := r.Do(ctx).Into(out); err != nil {
			return err
		}
		if out.GetResourceVersion() == "" {
			return driver.Errorf(driver.Unknown, "what answers the list of %s is not Kubernetes", p.resource)
		}
		if err := page(out); err != nil {
			return err
		}
		if next = out.GetContinue(); next == "" {
			return nil
		}
	}
}

// gone turns "it does not exist" into success.
func gone(err error) error {
	if err != nil && classify(err).Code == driver.NotFound {
		return nil
	}
	return err
}

// version asks the API server which one it is.
func (c *connection) version(ctx context.Context, out *version.Info) error {
	body, err := c.groups[corev1.SchemeGroupVersion].Get().AbsPath("/version").MaxRetries(0).DoRaw(ctx)
	if err != nil {
		return err
	}
	if json.Unmarshal(body, out) != nil || out.GitVersion == "" {
		return driver.Errorf(driver.Unknown, "what answers is not Kubernetes: it does not tell its version")
	}
	return nil
}
