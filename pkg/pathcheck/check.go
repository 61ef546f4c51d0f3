// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Kinds of targets.
const (
	KindService   = "service"
	KindIngress   = "ingress"
	KindHTTPRoute = "httproute"
)

// Target is what paths are walked of: a Service with all that leads to it, or an Ingress or HTTPRoute with all that it
// leads to.
type Target struct{ Kind, Namespace, Name string }

// Object returns the target as one of a path.
func (t Target) Object() Object { return Object(t) }

func (t Target) String() string { return t.Object().String() }

// Checker walks paths of one cluster, as the user of its kubeconfig. It may be used again and again.
type Checker struct {
	// Request is what live hops ask for over HTTP.
	Request Request
	// Static leaves live hops out.
	Static bool

	client  kubernetes.Interface
	gateway dynamic.Interface
	ask     asker
	now     func() time.Time
}

// New returns a Checker of the cluster that both arguments lead to.
func New(config *rest.Config, client kubernetes.Interface) (*Checker, error) {
	gateway, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	ask, err := newCalls(config, client)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return &Checker{client: client, gateway: gateway, ask: ask, now: time.Now}, nil
}

// Check walks all paths of a target. It fails only if the target itself can't be read, or ctx ends.
func (c *Checker) Check(ctx context.Context, target Target) (*Report, error) {
	w := &walk{Checker: c, backends: make(map[backendKey]*backend)}
	var routes []*route
	var err error
	switch target.Kind {
	case KindService:
		routes, err = w.toService(ctx, target)
	case KindIngress:
		routes, err = w.fromIngressTarget(ctx, target)
	case KindHTTPRoute:
		routes, err = w.fromHTTPRouteTarget(ctx, target)
	default:
		err = fmt.Errorf("%s is neither a Service nor an Ingress nor an HTTPRoute", target)
	}
	if err == nil && !c.Static {
		w.callAll(ctx, routes)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	report := &Report{Target: target}
	for _, r := range routes {
		report.Paths = append(report.Paths, r.path())
	}
	return report, nil
}

// readingTarget says why the target can't be read.
func readingTarget(target Target, err error) error {
	return fmt.Errorf("reading %s: %w", target, err)
}

// toService finds all that leads to a Service. The Service by itself is the last path: what is in the cluster calls it so.
func (w *walk) toService(ctx context.Context, target Target) ([]*route, error) {
	b := w.backend(ctx, target.Namespace, target.Name)
	if b.err != nil {
		return nil, readingTarget(target, b.err)
	}
	routes, gaps := w.frontsOf(ctx, b)
	for _, port := range b.service.Spec.Ports {
		own := &route{through: []Object{b.object()}, to: b.tail(port)}
		own.hops, gaps = gaps, nil // said once: they are of no port
		routes = append(routes, own)
	}
	if len(b.service.Spec.Ports) == 0 {
		routes = append(routes, &route{through: []Object{b.object()}, hops: append(gaps, b.portless())})
	}
	return routes, nil
}

// frontsOf finds what leads to a Service from outside of the cluster. Gaps are hops for what couldn't be found out.
func (w *walk) frontsOf(ctx context.Context, b *backend) (routes []*route, gaps []Hop) {
	namespace, name := b.service.Namespace, b.service.Name
	gap := func(resource string, err error) {
		gaps = append(gaps, unread(b.object(), CheckFronts, "what leads to it", err, right{"list", resource, namespace}))
	}
	ingresses, err := w.client.NetworkingV1().Ingresses(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		gap("ingresses.networking.k8s.io", err)
	} else {
		for i := range ingresses.Items {
			routes = append(routes, w.fromIngress(ctx, &ingresses.Items[i], siblings{all: ingresses.Items}, name)...)
		}
	}
	httpRoutes, err := w.httpRoutes(ctx, namespace)
	if err != nil {
		gap("httproutes."+gatewayGroup, err)
	}
	for i := range httpRoutes {
		routes = append(routes, w.fromHTTPRoute(ctx, &httpRoutes[i], b.object())...)
	}
	return append(routes, w.fromOutside(ctx, b)...), gaps
}

func (w *walk) fromIngressTarget(ctx context.Context, target Target) ([]*route, error) {
	ingresses := w.client.NetworkingV1().Ingresses(target.Namespace)
	ingress, err := ingresses.Get(ctx, target.Name, metav1.GetOptions{})
	if err != nil {
		return nil, readingTarget(target, err)
	}
	var others siblings
	list, err := ingresses.List(ctx, metav1.ListOptions{})
	if others.err = err; err == nil {
		others.all = list.Items
	}
	return w.fromIngress(ctx, ingress, others, ""), nil
}

func (w *walk) fromHTTPRouteTarget(ctx context.Context, target Target) ([]*route, error) {
	r, err := w.httpRoute(ctx, target.Namespace, target.Name)
	if apierrors.IsNotFound(err) && !w.hasGateways() {
		return nil, readingTarget(target, errNoGatewayAPI)
	}
	if err != nil {
		return nil, readingTarget(target, err)
	}
	return w.fromHTTPRoute(ctx, r, Object{}), nil
}
