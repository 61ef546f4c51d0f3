// SPDX-License-Identifier: Apache-2.0

// Package ingress is the cluster's Ingress: it turns Ingress objects into a configuration of nginx and has nginx load
// it. It routes by host and path to the Service's ClusterIP, not to its endpoints, and makes a connection per request,
// so that whatever a Service is switched to receives the next request. On a port of its own it answers the same with TLS.
package ingress

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Class is the name of the IngressClass that is served, and the default.
const Class = "nginx"

// A server is what one host answers; host "" is every host that no other names.
type server struct {
	Host        string
	Certificate certificate
	Locations   []location
}

// A location sends the requests below a path to a Service.
type location struct {
	Path    string
	Exact   bool
	implied bool   // by a prefix, rather than asked for
	Service string // namespace/name:port, for whoever reads the configuration
	Target  string // address:port, or "" if the Service has none
}

// A lookup finds an object, or nil.
type lookup[T any] func(namespace, name string) *T

// routes works out who answers what. Where two Ingresses claim the same path of the same host, the older has it; so it is
// with the host's certificate.
func routes(ingresses []*networkingv1.Ingress, services lookup[corev1.Service], secrets lookup[corev1.Secret]) []server {
	ingresses = slices.SortedFunc(slices.Values(ingresses), func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	hosts := map[string][]location{"": nil}
	certificates := map[string]certificate{}
	var defaults []location
	for _, ing := range ingresses {
		if !served(ing) {
			continue
		}
		for _, rule := range ing.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			certificates[rule.Host] = cmp.Or(certificates[rule.Host], certificateOf(ing, rule.Host, secrets))
			for _, path := range rule.HTTP.Paths {
				hosts[rule.Host] = append(hosts[rule.Host], locations(path, ing.Namespace, services)...)
			}
		}
		if b := ing.Spec.DefaultBackend; b != nil {
			defaults = append(defaults, backend(location{Path: "/"}, b, ing.Namespace, services))
		}
	}
	hosts[""] = append(hosts[""], defaults...)

	servers := make([]server, 0, len(hosts))
	for host, own := range hosts {
		// A rule without a host is for all of them, where the host's own say nothing.
		if host != "" {
			own = append(own, hosts[""]...)
		}
		servers = append(servers, server{host, certificates[host], firstOfEach(own)})
	}
	slices.SortFunc(servers, func(a, b server) int { return cmp.Compare(a.Host, b.Host) })
	return servers
}

// served tells whether an Ingress is ours: of our class, or of none.
func served(ing *networkingv1.Ingress) bool {
	if ing.Spec.IngressClassName != nil {
		return *ing.Spec.IngressClassName == Class
	}
	class, set := ing.Annotations["kubernetes.io/ingress.class"]
	return !set || class == Class
}

// locations says in nginx's terms what a path means in an Ingress. A prefix there counts whole elements: /shop is for
// /shop and /shop/cart, not for /shopping; nginx compares characters, so it takes two.
func locations(path networkingv1.HTTPIngressPath, namespace string, services lookup[corev1.Service]) []location {
	p := cmp.Or(path.Path, "/")
	if path.PathType != nil && *path.PathType == networkingv1.PathTypeExact {
		return []location{backend(location{Path: p, Exact: true}, &path.Backend, namespace, services)}
	}
	p = strings.TrimRight(p, "/")
	all := []location{backend(location{Path: p + "/"}, &path.Backend, namespace, services)}
	if p != "" {
		all = append(all, backend(location{Path: p, Exact: true, implied: true}, &path.Backend, namespace, services))
	}
	return all
}

// backend completes a location with where the backend is.
func backend(l location, b *networkingv1.IngressBackend, namespace string, services lookup[corev1.Service]) location {
	if b.Service == nil { // a resource, of which we serve no kind
		l.Service = namespace + "/?"
		return l
	}
	l.Service = fmt.Sprintf("%s/%s:%s", namespace, b.Service.Name,
		cmp.Or(b.Service.Port.Name, strconv.Itoa(int(b.Service.Port.Number))))
	svc := services(namespace, b.Service.Name)
	if svc == nil || net.ParseIP(svc.Spec.ClusterIP) == nil { // absent, headless or ExternalName
		return l
	}
	for _, port := range svc.Spec.Ports {
		named := b.Service.Port.Name != "" && port.Name == b.Service.Port.Name
		if named || port.Port == b.Service.Port.Number {
			l.Target = net.JoinHostPort(svc.Spec.ClusterIP, strconv.Itoa(int(port.Port)))
			break
		}
	}
	return l
}

// firstOfEach keeps the first location of each path: nginx allows one. An exact path that was asked for comes before
// one that a prefix implies, whoever is older.
func firstOfEach(all []location) []location {
	type key struct {
		path  string
		exact bool
	}
	var ordered []location
	for _, implied := range []bool{false, true} {
		for _, l := range all {
			if l.implied == implied {
				ordered = append(ordered, l)
			}
		}
	}
	seen := map[key]bool{}
	var first []location
	for _, l := range ordered {
		if k := (key{l.Path, l.Exact}); !seen[k] {
			seen[k] = true
			first = append(first, l)
		}
	}
	slices.SortFunc(first, func(a, b location) int {
		if a.Path == b.Path && a.Exact != b.Exact {
			return map[bool]int{true: -1, false: 1}[a.Exact]
		}
		return cmp.Compare(a.Path, b.Path)
	})
	return first
}
