// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// classAnnotation named an Ingress's class before its spec could.
const classAnnotation = "kubernetes.io/ingress.class"

// siblings are all Ingresses of a namespace, or why they can't be listed.
type siblings struct {
	all []networkingv1.Ingress
	err error
}

// rule is one place at which an Ingress takes requests.
type rule struct {
	// host is empty for all hosts.
	host, path string
	kind       networkingv1.PathType
}

func (r rule) String() string {
	if r.host == "" {
		return "any host, path " + r.path
	}
	return r.host + r.path
}

// takes reports whether the rule is for a path. What a path that is implementation specific means, only its prefix is
// known of.
func (r rule) takes(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	switch r.kind {
	case networkingv1.PathTypeExact:
		return path == r.path
	case networkingv1.PathTypePrefix:
		prefix := strings.TrimRight(r.path, "/")
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	default:
		return strings.HasPrefix(path, r.plainPath())
	}
}

// plainPath is the rule's path without what may be a regular expression.
func (r rule) plainPath() string {
	if r.kind != networkingv1.PathTypeImplementationSpecific {
		return r.path
	}
	plain := r.path
	if at := strings.IndexAny(plain, `()[]{}*+?^$|\`); at >= 0 {
		plain = plain[:at]
	}
	return cmp.Or(plain, "/")
}

// leads is one backend of an Ingress, with the rules that lead there.
type leads struct {
	backend networkingv1.IngressBackend
	rules   []rule
}

// backendsOf are the backends of an Ingress, in its order.
func backendsOf(ingress *networkingv1.Ingress) []leads {
	var all []leads
	add := func(backend networkingv1.IngressBackend, r rule) {
		at := slices.IndexFunc(all, func(l leads) bool { return sameBackend(&l.backend, &backend) })
		if at < 0 {
			at, all = len(all), append(all, leads{backend: backend})
		}
		all[at].rules = append(all[at].rules, r)
	}
	for _, r := range ingress.Spec.Rules {
		if r.HTTP == nil {
			continue
		}
		for _, path := range r.HTTP.Paths {
			kind := networkingv1.PathTypeImplementationSpecific
			if path.PathType != nil {
				kind = *path.PathType
			}
			add(path.Backend, rule{r.Host, cmp.Or(path.Path, "/"), kind})
		}
	}
	if backend := ingress.Spec.DefaultBackend; backend != nil {
		add(*backend, rule{path: "/", kind: networkingv1.PathTypePrefix})
	}
	return all
}

func sameBackend(a, b *networkingv1.IngressBackend) bool {
	if a.Service == nil || b.Service == nil {
		return a.Resource != nil && b.Resource != nil && a.Resource.Kind == b.Resource.Kind && a.Resource.Name == b.Resource.Name
	}
	return *a.Service == *b.Service
}

// fromIngress walks the paths of an Ingress: all of them, or those to one Service.
func (w *walk) fromIngress(ctx context.Context, ingress *networkingv1.Ingress, others siblings, service string) []*route {
	object := Object{KindIngress, ingress.Namespace, ingress.Name}
	var routes []*route
	var own []Hop
	for _, l := range backendsOf(ingress) {
		if service != "" && (l.backend.Service == nil || l.backend.Service.Name != service) {
			continue
		}
		if own == nil {
			own = []Hop{w.class(ctx, ingress), addressed(ingress)}
		}
		r := &route{through: []Object{object}, hops: slices.Clone(own)}
		r.hops = append(r.hops, claimed(ingress, l.rules, others))
		names := serverNames(ingress, l.rules)
		for _, name := range names {
			if name.secret != "" {
				r.hops = append(r.hops, w.certificate(ctx, object, name.secret, name.host, issuerHint(ingress)))
			}
		}
		if w.leadTo(ctx, r, ingress, &l.backend) {
			r.hops = append(r.hops, w.admitted(ctx, r.to, object, ingressClass(ingress))...)
		}
		for _, name := range names {
			r.calls = append(r.calls, w.callsOf(ingress, name)...)
		}
		routes = append(routes, r)
	}
	if len(routes) == 0 && service == "" {
		routes = append(routes, &route{through: []Object{object}, hops: []Hop{{
			Object: object, Check: CheckBackend, State: Broken, Message: "it has neither rules nor a default backend",
			Hint: "run '" + object.kubectl("edit") + "'",
		}}})
	}
	return routes
}

// leadTo has the route lead to a backend, and reports whether it is there.
func (w *walk) leadTo(
	ctx context.Context, r *route, ingress *networkingv1.Ingress, to *networkingv1.IngressBackend,
) bool {
	object := r.through[0]
	hop := Hop{Object: object, Check: CheckBackend, State: Broken}
	if to.Service == nil {
		hop.State = Unknown
		what := "something that is no Service"
		if to.Resource != nil {
			what = strings.ToLower(to.Resource.Kind) + " " + to.Resource.Name
		}
		hop.Message = "leads to " + what + ", which only its controller knows"
		r.hops = append(r.hops, hop)
		return false
	}
	number, name := to.Service.Port.Number, to.Service.Port.Name
	wanted := backendPort{title: cmp.Or(name, strconv.Itoa(int(number))), is: func(p corev1.ServicePort) bool {
		return name != "" && p.Name == name || name == "" && p.Port == number
	}}
	return w.leadToService(ctx, r, ingress.Namespace, to.Service.Name, wanted, object)
}

// backendPort is a Service's port as a front calls it.
type backendPort struct {
	title string
	is    func(corev1.ServicePort) bool
}

// leadToService has the route lead to a port of a Service, and reports whether both are there. It is front that says so.
func (w *walk) leadToService(ctx context.Context, r *route, namespace, name string, port backendPort, front Object) bool {
	b := w.backend(ctx, namespace, name)
	r.through = append(r.through, b.object())
	hop := Hop{Object: front, Check: CheckBackend, State: Broken}
	switch {
	case apierrors.IsNotFound(b.err):
		hop.Message, hop.Hint = b.object().String()+" doesn't exist", "run '"+front.kubectl("edit")+"'"
	case b.err != nil:
		hop = unread(front, CheckBackend, b.object().String(), b.err, right{"get", "services", namespace})
	case b.service.Spec.Type == corev1.ServiceTypeExternalName:
		hop.State = Unknown
		hop.Message = fmt.Sprintf("leads to %s, another name of %s, which is not looked at", b.object(), b.service.Spec.ExternalName)
	default:
		at := slices.IndexFunc(b.service.Spec.Ports, port.is)
		if at >= 0 {
			hop.State, hop.Message = OK, fmt.Sprintf("leads to port %s of %s", port.title, b.object())
			r.to = b.tail(b.service.Spec.Ports[at])
			r.to.http = true
			break
		}
		has := portTitles(b.service.Spec.Ports)
		hop.Message = fmt.Sprintf("%s has no port %s; it has %s", b.object(), port.title, has)
		hop.Hint = "run '" + front.kubectl("edit") + "'"
	}
	r.hops = append(r.hops, hop)
	return r.to != nil
}

// ingressClass is the name of an Ingress's class, or "" for the default one.
func ingressClass(ingress *networkingv1.Ingress) string {
	if class := ingress.Spec.IngressClassName; class != nil {
		return *class
	}
	return ingress.Annotations[classAnnotation]
}

// class looks for the Ingress's class. An old annotation may name one that no object stands for.
func (w *walk) class(ctx context.Context, ingress *networkingv1.Ingress) Hop {
	object := Object{KindIngress, ingress.Namespace, ingress.Name}
	hop := Hop{Object: object, Check: CheckClass, State: Broken, Hint: "run '" + object.kubectl("edit") + "'"}
	list, err := w.client.NetworkingV1().IngressClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return unread(object, CheckClass, "its class", err, right{"list", "ingressclasses.networking.k8s.io", ""})
	}
	name := ingressClass(ingress)
	var names []string
	for i := range list.Items {
		class := &list.Items[i]
		names = append(names, class.Name)
		isDefault := class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true"
		if class.Name == name || name == "" && isDefault {
			hop.State, hop.Hint = OK, ""
			hop.Message = fmt.Sprintf("class %s is of controller %s", class.Name, class.Spec.Controller)
			return hop
		}
	}
	there := "there is none"
	if len(names) > 0 {
		there = "there is " + strings.Join(names, ", ")
	}
	switch {
	case ingress.Spec.IngressClassName != nil:
		hop.Message = fmt.Sprintf("class %s doesn't exist; %s", name, there)
	case len(ingress.Status.LoadBalancer.Ingress) > 0:
		hop.State, hop.Message, hop.Hint = OK, "is of no class that there is, but a controller has taken it up", ""
	case name != "":
		// A controller may know such a class by itself.
		hop.State, hop.Message = Warning, fmt.Sprintf("class %s, which its annotation names, doesn't exist; %s", name, there)
	default:
		hop.Message = "the Ingress names no class, and none is the default; " + there
	}
	return hop
}

// addressed looks for the address that a controller publishes with the Ingress it serves.
func addressed(ingress *networkingv1.Ingress) Hop {
	hop := Hop{Object: Object{KindIngress, ingress.Namespace, ingress.Name}, Check: CheckAddress, State: OK}
	all := make([]string, len(ingress.Status.LoadBalancer.Ingress))
	for i, at := range ingress.Status.LoadBalancer.Ingress {
		all[i] = cmp.Or(at.Hostname, at.IP)
	}
	if len(all) == 0 {
		hop.State, hop.Message = Warning, "no controller has published an address for it: none may have taken it up"
		hop.Hint = "see '" + hop.Object.kubectl("describe") + "'"
		return hop
	}
	hop.Message = "its address is " + strings.Join(all, ", ")
	return hop
}

// claimed looks for an older Ingress that takes the same requests.
func claimed(ingress *networkingv1.Ingress, rules []rule, others siblings) Hop {
	hop := Hop{Object: Object{KindIngress, ingress.Namespace, ingress.Name}, Check: CheckHost, State: OK}
	titles := make([]string, len(rules))
	for i, r := range rules {
		titles[i] = r.String()
	}
	hop.Message = "takes " + strings.Join(titles, ", ")
	if others.err != nil {
		return unread(hop.Object, CheckHost, hop.Message+"; what others take", others.err,
			right{"list", "ingresses.networking.k8s.io", ingress.Namespace})
	}
	for i := range others.all {
		other := &others.all[i]
		if other.Name == ingress.Name || ingressClass(other) != ingressClass(ingress) ||
			!other.CreationTimestamp.Before(&ingress.CreationTimestamp) {
			continue
		}
		for _, l := range backendsOf(other) {
			at := slices.IndexFunc(l.rules, func(r rule) bool { return slices.Contains(rules, r) })
			if at < 0 {
				continue
			}
			first := Object{KindIngress, other.Namespace, other.Name}
			hop.State = Warning
			hop.Message = fmt.Sprintf("%s is also taken by %s, which is older and comes first", l.rules[at], first)
			hop.Hint = "see '" + first.kubectl("describe") + "'"
			return hop
		}
	}
	return hop
}

// serverName is a host that callers of an Ingress name.
type serverName struct {
	// host is empty where any will do.
	host string
	// secret is of the certificate; empty if the Ingress names none for the host.
	secret string
	// tls is whether callers come with TLS.
	tls   bool
	rules []rule
}

// serverNames are the hosts by which rules are called. A rule for any host is called by those that there are
// certificates for, or by the address alone.
func serverNames(ingress *networkingv1.Ingress, rules []rule) []serverName {
	var names []serverName
	add := func(name serverName, r rule) {
		at := slices.IndexFunc(names, func(n serverName) bool { return n.host == name.host })
		if at < 0 {
			at, names = len(names), append(names, name)
		}
		names[at].rules = append(names[at].rules, r)
	}
	for _, r := range rules {
		if r.host != "" {
			add(withTLS(ingress, r.host), r)
			continue
		}
		called := false
		for _, entry := range ingress.Spec.TLS {
			hosts := entry.Hosts
			if len(hosts) == 0 {
				hosts = []string{""} // it is for all
			}
			for _, host := range hosts {
				add(serverName{host: host, secret: entry.SecretName, tls: true}, r)
				called = true
			}
		}
		if !called {
			add(serverName{}, r)
		}
	}
	return names
}

// withTLS finds the Ingress's certificate for a host. One that is for no host in particular is for all.
func withTLS(ingress *networkingv1.Ingress, host string) serverName {
	name := serverName{host: host}
	for _, entry := range ingress.Spec.TLS {
		if len(entry.Hosts) == 0 || slices.ContainsFunc(entry.Hosts, func(of string) bool { return covers(of, host) }) {
			name.secret, name.tls = entry.SecretName, true
			return name
		}
	}
	return name
}

// covers reports whether a host, or a wildcard for its first label, is for another.
func covers(of, host string) bool {
	if strings.EqualFold(of, host) {
		return true
	}
	suffix, wild := strings.CutPrefix(of, "*.")
	_, rest, ok := strings.Cut(host, ".")
	return wild && ok && strings.EqualFold(suffix, rest)
}

// issuerHint is what to look at where cert-manager issues the Ingress's certificates, which its documentation has these
// annotations for.
func issuerHint(ingress *networkingv1.Ingress) string {
	for _, annotation := range []string{"cert-manager.io/cluster-issuer", "cert-manager.io/issuer", "kubernetes.io/tls-acme"} {
		if ingress.Annotations[annotation] != "" {
			return "see 'kubectl describe certificates.cert-manager.io -n " + ingress.Namespace + "'"
		}
	}
	return ""
}
