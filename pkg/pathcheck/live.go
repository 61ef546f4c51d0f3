// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// atOnce bounds the live hops that are called at the same time.
const atOnce = 8

// call is a live hop at a front.
type call struct {
	of      Object
	address string
	question
	answer answer
	// hop is what came of it, once it has been called.
	hop Hop
}

func join(host string, port int32) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

// callOf has a front called at an address.
func (w *walk) callOf(of Object, address string, q question) *call {
	q.header = w.Request.Header
	// A wildcard is for any name in its place.
	q.host = strings.Replace(q.host, "*.", "kubectl-velo.", 1)
	return &call{of: of, address: address, question: q}
}

// callsOf has an Ingress called by a host, at each of its addresses.
func (w *walk) callsOf(ingress *networkingv1.Ingress, name serverName) []*call {
	object := Object{KindIngress, ingress.Namespace, ingress.Name}
	path := w.Request.Path
	if path == "" {
		path = name.rules[0].plainPath()
	} else if !slices.ContainsFunc(name.rules, func(r rule) bool { return r.takes(path) }) {
		return []*call{{of: object, hop: Hop{
			Object: object, Check: CheckRequest, Live: true, State: Unknown,
			Message: fmt.Sprintf("%s is not of the path %s, so that its answer would be somebody else's", name.rules[0], path),
		}}}
	}
	q := question{scheme: schemeHTTP, host: name.host, path: path}
	const httpPort, httpsPort = 80, 443
	port := int32(httpPort)
	if name.tls {
		q.scheme, port = schemeHTTPS, httpsPort
	}
	var calls []*call
	for _, at := range ingress.Status.LoadBalancer.Ingress {
		calls = append(calls, w.callOf(object, join(cmp.Or(at.IP, at.Hostname), port), q))
	}
	if len(calls) == 0 {
		return []*call{{of: object, hop: Hop{
			Object: object, Check: CheckRequest, Live: true, State: Unknown,
			Message: q.title(titleOf(name.host)) + ": there is no address to send it to",
		}}}
	}
	return calls
}

// fromOutside walks the paths to a Service by the load balancer or the node ports that it has itself.
func (w *walk) fromOutside(ctx context.Context, b *backend) []*route {
	var routes []*route
	for _, port := range b.service.Spec.Ports {
		t := b.tail(port)
		switch b.service.Spec.Type {
		case corev1.ServiceTypeLoadBalancer:
			routes = append(routes, w.byLoadBalancer(b, t))
		case corev1.ServiceTypeNodePort:
			routes = append(routes, w.byNodePort(ctx, b, t))
		default:
		}
	}
	return routes
}

func (w *walk) byLoadBalancer(b *backend, t *tail) *route {
	at := b.service.Status.LoadBalancer.Ingress
	if len(at) == 0 {
		object := Object{Kind: "loadbalancer", Namespace: b.key.namespace, Name: b.key.name}
		return &route{through: []Object{object, b.object()}, to: t, hops: []Hop{{
			Object: object, Check: CheckAddress, State: Broken, Message: "the Service is of type LoadBalancer and has got no address",
			Hint: "see '" + b.command("describe", "") + "'",
		}}}
	}
	object := Object{Kind: "loadbalancer", Name: cmp.Or(at[0].Hostname, at[0].IP)}
	r := &route{through: []Object{object, b.object()}, to: t}
	for _, one := range at {
		r.calls = append(r.calls, w.callTail(object, join(cmp.Or(one.IP, one.Hostname), t.port.Port), t))
	}
	return r
}

func (w *walk) byNodePort(ctx context.Context, b *backend, t *tail) *route {
	object := Object{Kind: "nodeport", Name: strconv.Itoa(int(t.port.NodePort))}
	r := &route{through: []Object{object, b.object()}, to: t}
	nodes, err := w.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		r.hops = append(r.hops, unread(object, CheckAddress, "the addresses of nodes", err, right{"list", "nodes", ""}))
		return r
	}
	for i := range nodes.Items {
		if address := nodeAddress(&nodes.Items[i]); address != "" {
			// All nodes take the port alike: one tells.
			r.calls = append(r.calls, w.callTail(object, join(address, t.port.NodePort), t))
			break
		}
	}
	return r
}

// nodeAddress is one at which callers may come: from outside, if there is such a one.
func nodeAddress(node *corev1.Node) string {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeExternalIP, corev1.NodeInternalIP} {
		for _, address := range node.Status.Addresses {
			if address.Type == kind {
				return address.Address
			}
		}
	}
	return ""
}

// callTail has a port of a Service called at an address outside of the cluster.
func (w *walk) callTail(of Object, address string, t *tail) *call {
	scheme := t.scheme()
	if scheme == "" {
		return &call{of: of, hop: Hop{Object: of, Check: CheckRequest, Live: true, State: Unknown, Message: t.unasked()}}
	}
	return w.callOf(of, address, question{scheme: scheme, path: cmp.Or(w.Request.Path, "/")})
}

// unasked says why no request is sent to a port.
func (t *tail) unasked() string {
	return fmt.Sprintf("port %s is %s, which can't be asked", portTitle(t.port), t.port.Protocol)
}

// callAll calls all live hops of some routes, each once.
func (w *walk) callAll(ctx context.Context, routes []*route) {
	var g errgroup.Group
	g.SetLimit(atOnce)
	called := make(map[*tail]bool)
	for _, r := range routes {
		for _, c := range r.calls {
			if c.hop.State != "" {
				continue // there is nobody to call
			}
			g.Go(func() error {
				c.answer = w.ask.at(ctx, c.address, c.question)
				return nil
			})
		}
		if t := r.to; t != nil && !called[t] {
			called[t] = true
			w.callBehind(ctx, &g, t)
		}
	}
	_ = g.Wait() // they return no errors
	for _, r := range routes {
		for _, c := range r.calls {
			if c.hop.State == "" {
				c.hop = w.judgeFront(c, r.to)
			}
		}
	}
}

// behind are the answers of a Service and of one of its pods.
type behind struct {
	service, pod, loopback answer
	question
	asked *corev1.Pod
}

// callBehind asks a Service, one of its pods, and that pod's loopback: where their answers part, the path breaks.
func (w *walk) callBehind(ctx context.Context, g *errgroup.Group, t *tail) {
	if !t.open() {
		return // what is wrong has been found
	}
	q := question{scheme: t.scheme(), path: cmp.Or(w.Request.Path, "/"), header: w.Request.Header}
	if q.scheme == "" {
		hop := t.backend.hop(CheckRequest)
		hop.Live, hop.State, hop.Message = true, Unknown, t.unasked()
		t.live = []Hop{hop}
		return
	}
	b := &behind{question: q, asked: t.reachable()}
	t.behind = b
	g.Go(func() error {
		w.askBehind(ctx, t, b)
		t.live = w.judgeBehind(t, b)
		return nil
	})
}

func (w *walk) askBehind(ctx context.Context, t *tail, b *behind) {
	var g errgroup.Group
	if b.passable() {
		g.Go(func() error {
			b.service = w.ask.proxied(ctx, t.backend.object(), cmp.Or(t.port.Name, strconv.Itoa(int(t.port.Port))), b.question)
			return nil
		})
	}
	if b.asked != nil && t.target != 0 {
		if b.passable() {
			g.Go(func() error {
				b.pod = w.ask.proxied(ctx, podObject(b.asked), strconv.Itoa(int(t.target)), b.question)
				return nil
			})
		}
		g.Go(func() error {
			b.loopback = w.ask.forwarded(ctx, podObject(b.asked), t.target, b.question)
			return nil
		})
	}
	_ = g.Wait() // they return no errors
}

// reachable is a pod that the Service leads to, the same one as long as it is there, or nil.
func (t *tail) reachable() *corev1.Pod {
	for i := range t.backend.pods {
		if pod := &t.backend.pods[i]; isReady(pod) || t.backend.service.Spec.PublishNotReadyAddresses {
			return pod
		}
	}
	return nil
}

// passable reports whether the question can go through the API server: it speaks HTTP only, and takes some headers for
// its own.
func (b *behind) passable() bool { return b.scheme != schemeTCP && b.ownHeader() == "" }

// ownHeader is a header of the question that the API server would take for its own, or "".
func (b *behind) ownHeader() string {
	for name := range b.header {
		if strings.EqualFold(name, "Authorization") || strings.HasPrefix(strings.ToLower(name), "impersonate-") {
			return name
		}
	}
	return ""
}
