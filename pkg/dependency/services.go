// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"net/netip"
	"slices"
	"strings"
)

// Services are what a pod may name: the Services that one may see.
type Services struct {
	// Namespace is the pod's own, in which Services are known by their name alone.
	Namespace string
	// Domain of the cluster; empty for cluster.local.
	Domain string
	List   []Service
}

// Service is what has to be known of a Service.
type Service struct {
	Namespace, Name string
	Ports           []Port
	// Addresses are the Service's cluster IPs, if it has any.
	Addresses []string
	// Headless Services lead to the pods themselves, which have names and more ports than the Service.
	Headless bool
	// Pods are the host names of a headless Service's pods. Others are found as well, with a note.
	Pods []string
	// ExternalName is the host that the Service is another name of.
	ExternalName string
	// Own says that the Service leads to the pod whose texts are read, and so is no dependency of it.
	Own bool
}

// Port of a Service.
type Port struct {
	Number   uint16
	Protocol Protocol
}

// anyPort reports whether the Service may have ports that it doesn't list, for what can be known from here.
func (s *Service) anyPort() bool {
	return s.Headless || s.ExternalName != "" || len(s.Ports) == 0
}

// having returns the Service's ports with a number: none, or one for each protocol.
func (s *Service) having(number uint16) []Port {
	var found []Port
	for _, port := range s.Ports {
		if port.Number == number {
			found = append(found, port)
		}
	}
	return found
}

// onlyPort returns the number that all of the Service's ports have.
func (s *Service) onlyPort() (uint16, bool) {
	if len(s.Ports) == 0 {
		return 0, false
	}
	first := s.Ports[0].Number
	return first, !slices.ContainsFunc(s.Ports, func(p Port) bool { return p.Number != first })
}

// portsOf returns a port whose protocol nothing tells.
func portsOf(number uint16) []Port {
	const dns = 53
	if number == dns {
		return []Port{{number, TCP}, {number, UDP}}
	}
	return []Port{{number, TCP}}
}

// destination is what a host means: a Service, a pod of it, or just the host.
type destination struct{ namespace, service, pod, host string }

// host is a host that is known to the index, or says that it is a Service.
type host struct {
	destination
	// name is the host as it was asked for, in lower case and without a trailing dot.
	name string
	// service is what is known of it.
	service *Service
	// qualified says that it has the form x.ns.svc, which nothing else has.
	qualified bool
	// unseen says that there is no such Service among those one may see.
	unseen bool
}

// index finds the Services that hosts mean.
type index struct {
	namespace, domain string
	services          map[serviceName]*Service
	addresses         map[netip.Addr]*Service
	// asked are hosts that are no Services, and depended upon because somebody said so.
	asked map[string]*Service
}

type serviceName struct{ namespace, name string }

func newIndex(services Services) *index {
	x := &index{
		namespace: services.Namespace,
		domain:    strings.ToLower(strings.Trim(services.Domain, ".")),
		services:  make(map[serviceName]*Service, len(services.List)),
		addresses: make(map[netip.Addr]*Service, len(services.List)),
		asked:     make(map[string]*Service),
	}
	if x.domain == "" {
		x.domain = "cluster.local"
	}
	for i := range services.List {
		s := &services.List[i]
		x.services[serviceName{s.Namespace, s.Name}] = s
		for _, address := range s.Addresses {
			if ip, err := netip.ParseAddr(address); err == nil {
				x.addresses[ip] = s
			}
		}
	}
	return x
}

// canonical returns a host as hosts are compared: in lower case, without a trailing dot or the brackets of an IPv6
// address.
func canonical(written string) string {
	if strings.HasPrefix(written, "[") && strings.HasSuffix(written, "]") {
		written = written[1 : len(written)-1]
	}
	return strings.ToLower(strings.TrimSuffix(written, "."))
}

// isAddress reports whether a canonical host is an IP address.
func isAddress(name string) bool {
	_, ok := parseAddress(name)
	return ok
}

func parseAddress(name string) (netip.Addr, bool) {
	// Most words are told from addresses by a look, and then parsing would only make an error.
	if !strings.Contains(name, ":") && (name == "" || !isDigit(name[len(name)-1])) {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(name)
	return ip, err == nil
}

// lookup returns what a host means that is written in a text of the pod.
func (x *index) lookup(written string) (host, bool) {
	h := host{name: canonical(written)}
	if ip, ok := parseAddress(h.name); ok {
		if h.service, ok = x.addresses[ip]; ok {
			h.destination = destination{namespace: h.service.Namespace, service: h.service.Name}
			return h, true
		}
	} else if x.lookupName(&h) {
		return h, true
	}
	if asked, ok := x.asked[h.name]; ok {
		h.service, h.destination = asked, destination{host: h.name}
		return h, true
	}
	return host{}, false
}

// lookupName finds out what a name means, in the order in which a pod's resolver tries its search domains.
func (x *index) lookupName(h *host) bool {
	var short string
	short, h.qualified = x.unqualified(h.name)
	first, rest, more := strings.Cut(short, ".")
	second, third, pod := strings.Cut(rest, ".")
	switch {
	case !more:
		return !h.qualified && x.find(h, x.namespace, first, "")
	case !pod:
		return x.find(h, second, first, "") ||
			!h.qualified && x.find(h, x.namespace, second, first) ||
			h.qualified && x.findUnseen(h, second, first, "")
	case strings.Contains(third, "."):
		return false
	default:
		return x.find(h, third, second, first) || h.qualified && x.findUnseen(h, third, second, first)
	}
}

// unqualified returns a name without the part that says that it is a Service's, and whether it had it.
func (x *index) unqualified(name string) (string, bool) {
	if inDomain, ok := strings.CutSuffix(name, x.domain); ok {
		if short, ok := strings.CutSuffix(inDomain, ".svc."); ok {
			return short, true
		}
		return name, false
	}
	return strings.CutSuffix(name, ".svc")
}

// find looks for a Service, of which only a headless one has pods with names.
func (x *index) find(h *host, namespace, name, pod string) bool {
	s, ok := x.services[serviceName{namespace, name}]
	if !ok || pod != "" && !s.Headless {
		return false
	}
	h.service, h.destination = s, destination{namespace: namespace, service: name, pod: pod}
	return true
}

// findUnseen takes a host for a Service of which nothing but its name is known, unless it can't be one.
func (x *index) findUnseen(h *host, namespace, name, pod string) bool {
	if _, seen := x.services[serviceName{namespace, name}]; seen || namespace == "" || name == "" {
		return false
	}
	h.service, h.unseen = &Service{Namespace: namespace, Name: name}, true
	h.destination = destination{namespace: namespace, service: name, pod: pod}
	return true
}
