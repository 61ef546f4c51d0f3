// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The Gateway API is no part of Kubernetes: its objects are read as they come, and of each just what is needed here.
// Field names are those of gateway.networking.k8s.io/v1.

const gatewayGroup = "gateway.networking.k8s.io"

var errNoGatewayAPI = errors.New("this cluster doesn't have the Gateway API")

func gatewayResource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: gatewayGroup, Version: "v1", Resource: name}
}

// httpRoute is an HTTPRoute.
type httpRoute struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		ParentRefs []parentRef `json:"parentRefs"`
		Hostnames  []string    `json:"hostnames"`
		Rules      []struct {
			Matches []struct {
				Path *struct {
					Type  string `json:"type"`
					Value string `json:"value"`
				} `json:"path"`
			} `json:"matches"`
			BackendRefs []backendRef `json:"backendRefs"`
		} `json:"rules"`
	} `json:"spec"`
	Status struct {
		Parents []struct {
			ParentRef  parentRef          `json:"parentRef"`
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"parents"`
	} `json:"status"`
}

type parentRef struct {
	Group       string `json:"group"`
	Kind        string `json:"kind"`
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName"`
	Port        int32  `json:"port"`
}

type backendRef struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Port      int32  `json:"port"`
}

// isService reports whether the reference is to a Service, which one without a kind is.
func (r backendRef) isService() bool { return r.Group == "" && (r.Kind == "" || r.Kind == "Service") }

// gateway is a Gateway.
type gateway struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		GatewayClassName string     `json:"gatewayClassName"`
		Listeners        []listener `json:"listeners"`
	} `json:"spec"`
	Status struct {
		Addresses []struct {
			Value string `json:"value"`
		} `json:"addresses"`
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

type listener struct {
	Name     string `json:"name"`
	Hostname string `json:"hostname"`
	Port     int32  `json:"port"`
	Protocol string `json:"protocol"`
	TLS      *struct {
		Mode            string       `json:"mode"`
		CertificateRefs []backendRef `json:"certificateRefs"`
	} `json:"tls"`
}

// hasGateways reports whether the cluster has the Gateway API. Everybody may ask that.
func (c *Checker) hasGateways() bool {
	_, err := c.client.Discovery().ServerResourcesForGroupVersion(gatewayResource("").GroupVersion().String())
	return err == nil
}

// httpRoutes lists the HTTPRoutes of a namespace: none where there is no Gateway API.
func (w *walk) httpRoutes(ctx context.Context, namespace string) ([]httpRoute, error) {
	if !w.hasGateways() {
		return nil, nil
	}
	list, err := w.gateway.Resource(gatewayResource("httproutes")).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	routes := make([]httpRoute, len(list.Items))
	for i := range list.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &routes[i]); err != nil {
			return nil, err
		}
	}
	return routes, nil
}

func (w *walk) httpRoute(ctx context.Context, namespace, name string) (*httpRoute, error) {
	routes := w.gateway.Resource(gatewayResource("httproutes")).Namespace(namespace)
	object, err := routes.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var r httpRoute
	return &r, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &r)
}

// fromHTTPRoute walks the paths of an HTTPRoute, by each of its parents: all of them, or those to one Service.
func (w *walk) fromHTTPRoute(ctx context.Context, r *httpRoute, service Object) []*route {
	object := Object{KindHTTPRoute, r.Namespace, r.Name}
	type key struct {
		parent parentRef
		to     backendRef
	}
	seen := make(map[key]bool)
	var routes []*route
	for _, rule := range r.Spec.Rules {
		path := "/"
		if len(rule.Matches) > 0 && rule.Matches[0].Path != nil && rule.Matches[0].Path.Type != "RegularExpression" {
			path = cmp.Or(rule.Matches[0].Path.Value, path)
		}
		for _, to := range rule.BackendRefs {
			to.Namespace = cmp.Or(to.Namespace, r.Namespace)
			if service != (Object{}) && (!to.isService() || service != Object{KindService, to.Namespace, to.Name}) {
				continue
			}
			for _, parent := range r.Spec.ParentRefs {
				parent.Namespace = cmp.Or(parent.Namespace, r.Namespace)
				if k := (key{parent, to}); !seen[k] {
					seen[k] = true
					routes = append(routes, w.byParent(ctx, r, parent, to, path))
				}
			}
		}
	}
	if len(routes) == 0 && service == (Object{}) {
		routes = append(routes, &route{through: []Object{object}, hops: []Hop{{
			Object: object, Check: CheckBackend, State: Broken, Message: "it has no parents, or no rules with backends",
			Hint: "run '" + object.kubectl("edit") + "'",
		}}})
	}
	return routes
}

// byParent walks the path from a parent of an HTTPRoute to one of its backends.
func (w *walk) byParent(ctx context.Context, r *httpRoute, parent parentRef, to backendRef, path string) *route {
	object := Object{KindHTTPRoute, r.Namespace, r.Name}
	above := Object{strings.ToLower(cmp.Or(parent.Kind, "Gateway")), parent.Namespace, parent.Name}
	out := &route{through: []Object{above, object}}
	if parent.Kind == "" || parent.Kind == "Gateway" {
		w.fromGateway(ctx, out, r, parent, path)
	}
	out.hops = append(out.hops, accepted(r, parent))
	if !to.isService() {
		out.hops = append(out.hops, Hop{
			Object: object, Check: CheckBackend, State: Unknown,
			Message: fmt.Sprintf("leads to %s %s, which is no Service", strings.ToLower(to.Kind), to.Name),
		})
		return out
	}
	port := backendPort{title: fmt.Sprint(to.Port), is: func(p corev1.ServicePort) bool { return p.Port == to.Port }}
	if w.leadToService(ctx, out, to.Namespace, to.Name, port, object) {
		if len(out.to.backend.policies) > 0 && out.to.open() {
			out.hops = append(out.hops, Hop{
				Object: above, Check: CheckPolicies, State: Unknown,
				Message: fmt.Sprintf("whether %s admits its controller can't be told", out.to.titles()), Hint: out.to.policyHint(),
			})
		}
	}
	return out
}

// accepted looks at what the parent's controller says of the HTTPRoute.
func accepted(r *httpRoute, parent parentRef) Hop {
	hop := Hop{Object: Object{KindHTTPRoute, r.Namespace, r.Name}, Check: CheckParent, State: Broken}
	hop.Hint = "see '" + hop.Object.kubectl("describe") + "'"
	title := fmt.Sprintf("%s %s/%s", strings.ToLower(cmp.Or(parent.Kind, "Gateway")), parent.Namespace, parent.Name)
	for _, status := range r.Status.Parents {
		of := status.ParentRef
		of.Namespace = cmp.Or(of.Namespace, r.Namespace)
		if of.Name != parent.Name || of.Namespace != parent.Namespace || of.SectionName != parent.SectionName {
			continue
		}
		for _, c := range status.Conditions {
			if (c.Type == "Accepted" || c.Type == "ResolvedRefs") && c.Status == metav1.ConditionFalse {
				hop.Message = fmt.Sprintf("%s says %s: %s", title, c.Reason, c.Message)
				return hop
			}
		}
		hop.State, hop.Message, hop.Hint = OK, title+" has accepted it", ""
		return hop
	}
	hop.State, hop.Message = Warning, "no controller says that it has taken it up for "+title
	return hop
}

// fromGateway looks at a Gateway and its listeners, and has the route called by the Gateway's addresses.
func (w *walk) fromGateway(ctx context.Context, out *route, r *httpRoute, parent parentRef, path string) {
	object := out.through[0]
	hop := Hop{Object: object, Check: CheckAddress, State: Broken}
	var g gateway
	gateways := w.gateway.Resource(gatewayResource("gateways")).Namespace(parent.Namespace)
	u, err := gateways.Get(ctx, parent.Name, metav1.GetOptions{})
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &g)
	}
	switch {
	case apierrors.IsNotFound(err):
		hop.Message, hop.Hint = object.String()+" doesn't exist", "see 'kubectl get gateways -n "+parent.Namespace+"'"
		out.hops = append(out.hops, hop)
		return
	case err != nil:
		needs := right{"get", "gateways." + gatewayGroup, parent.Namespace}
		out.hops = append(out.hops, unread(object, CheckAddress, object.String(), err, needs))
		return
	}
	out.hops = append(out.hops, programmed(object, &g))
	for _, l := range g.Spec.Listeners {
		if parent.SectionName != "" && l.Name != parent.SectionName || parent.Port != 0 && l.Port != parent.Port {
			continue
		}
		for _, host := range l.hosts(r.Spec.Hostnames) {
			w.listen(ctx, out, &g, l, host, path)
		}
	}
}

func programmed(object Object, g *gateway) Hop {
	hop := Hop{Object: object, Check: CheckAddress, State: OK}
	hop.Hint = "see '" + object.kubectl("describe") + "'"
	all := make([]string, len(g.Status.Addresses))
	for i, address := range g.Status.Addresses {
		all[i] = address.Value
	}
	for _, c := range g.Status.Conditions {
		if (c.Type == "Accepted" || c.Type == "Programmed") && c.Status == metav1.ConditionFalse {
			hop.State, hop.Message = Broken, fmt.Sprintf("%s isn't %s: %s: %s", object, strings.ToLower(c.Type), c.Reason, c.Message)
			return hop
		}
	}
	if len(all) == 0 {
		hop.State, hop.Message = Warning, "no controller has published an address for it: none may have taken it up"
		return hop
	}
	hop.Message, hop.Hint = "its address is "+strings.Join(all, ", "), ""
	return hop
}

// hosts are those of an HTTPRoute that the listener takes.
func (l listener) hosts(wanted []string) []string {
	if len(wanted) == 0 {
		return []string{l.Hostname}
	}
	var all []string
	for _, host := range wanted {
		switch {
		case l.Hostname == "" || covers(l.Hostname, host):
			all = append(all, host)
		case covers(host, l.Hostname):
			all = append(all, l.Hostname)
		}
	}
	return all
}

// listen looks at a listener's certificate for a host, and has it called.
func (w *walk) listen(ctx context.Context, out *route, g *gateway, l listener, host, path string) {
	scheme := schemeHTTP
	switch {
	case l.Protocol == "HTTPS" && (l.TLS == nil || l.TLS.Mode != "Passthrough"):
		scheme = schemeHTTPS
		if l.TLS == nil {
			break
		}
		for _, ref := range l.TLS.CertificateRefs {
			if ref.Kind != "" && ref.Kind != "Secret" {
				continue
			}
			hop := w.certificate(ctx, Object{"gateway", cmp.Or(ref.Namespace, g.Namespace), g.Name}, ref.Name, host, "")
			hop.Object = out.through[0]
			out.hops = append(out.hops, hop)
		}
	case l.Protocol != "HTTP":
		return // nothing that a request could be sent by
	}
	for _, address := range g.Status.Addresses {
		out.calls = append(out.calls, w.callOf(out.through[0], join(address.Value, l.Port), question{
			scheme: scheme, host: host, path: cmp.Or(w.Request.Path, path),
		}))
	}
}
