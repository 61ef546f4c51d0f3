// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Find returns the Services that texts prove to be dependencies, in a fixed order and each of them once.
func Find(texts []Text, services Services) []Dependency {
	x := newIndex(services)
	var found collection
	for _, m := range scan(texts) {
		text := texts[m.host.text]
		h, ok := x.lookup(m.written(texts))
		if !ok || text.ServiceLink || h.service.Own {
			continue
		}
		for _, port := range proven(m, h) {
			found.add(Dependency{
				Namespace: h.namespace, Service: h.destination.service, Pod: h.pod,
				Names: []string{h.name}, Port: port.Number, Protocol: port.Protocol,
				Evidence: []Evidence{{Where: text.Where, Name: text.Name, Excerpt: excerpt(texts, m, h, port.Number)}},
				Notes:    notes(m, h, port.Number),
			})
		}
	}
	return found.sorted()
}

// Namespaces returns which namespaces texts may name Services of, besides the pod's own, in alphabetical order. There is
// no telling db.data from a host of another domain without knowing that there is a namespace data, so some of these are
// no namespaces at all.
func Namespaces(texts []Text, services Services) []string {
	x := newIndex(services)
	names := make(map[string]bool)
	for _, m := range scan(texts) {
		name := canonical(m.written(texts))
		if isAddress(name) {
			continue
		}
		short, _ := x.unqualified(name)
		labels := strings.Split(short, ".")
		if n := len(labels); n == 2 || n == 3 { // name.ns or pod.name, and pod.name.ns
			names[labels[n-1]] = true
		}
	}
	delete(names, "")
	delete(names, services.Namespace)
	return slices.Sorted(maps.Keys(names))
}

// written returns the host of a mention as it is written.
func (m mention) written(texts []Text) string { return m.host.of(texts) }

func (s span) of(texts []Text) string { return texts[s.text].Value[s.start:s.end] }

// proven returns the ports of a host that a mention proves to be dialled, by the rules of the package.
func proven(m mention, h host) []Port {
	s := h.service
	if m.number == 0 {
		if _, one := s.onlyPort(); one && m.form != qualified || h.qualified {
			return s.Ports
		}
		return nil
	}
	if ports := s.having(m.number); len(ports) > 0 {
		return ports
	}
	const pastTags = 1024 // where few numbers are the tag of an image
	switch {
	case m.form == inURL && m.port.isEmpty():
		// Its scheme's port isn't the Service's, so the name is not the Service's either: nginx, for one, has names of its
		// own that are written so.
		if len(s.Ports) > 0 {
			return nil
		}
	case m.form == withPort && !h.qualified:
		if !s.anyPort() || m.number < pastTags && !strings.Contains(h.name, ".") {
			return nil
		}
	}
	return portsOf(m.number)
}

// notes returns what looks wrong about a dependency that was found.
func notes(m mention, h host, port uint16) []string {
	var list []string
	if h.unseen {
		list = append(list, fmt.Sprintf("no service %s/%s can be seen from here", h.namespace, h.destination.service))
	}
	if !h.service.anyPort() && len(h.service.having(port)) == 0 {
		list = append(list, fmt.Sprintf("service %s/%s has no port %d", h.namespace, h.destination.service, port))
	}
	if h.pod != "" && len(h.service.Pods) > 0 && !slices.Contains(h.service.Pods, h.pod) {
		list = append(list, fmt.Sprintf("service %s/%s has no pod %s now", h.namespace, h.destination.service, h.pod))
	}
	if m.srv {
		list = append(list, "the URL asks for SRV records, which can't be forwarded: name the hosts in one without +srv")
	}
	return list
}

// excerpt returns what a mention says. It is put together from what is known to be no secret, so that nothing else can
// get into it.
func excerpt(texts []Text, m mention, h host, port uint16) string {
	if texts[m.host.text].Secret || !m.port.isEmpty() && texts[m.port.text].Secret {
		return hostPort(h.name, port)
	}
	said := m.lead.of(texts)
	if !m.user.isEmpty() {
		said += "***@" // some keep a token where others have their name
	}
	said += m.written(texts)
	switch {
	case m.portKey != "":
		return fmt.Sprintf("%s=%s %s=%s", m.hostKey, said, m.portKey, m.port.of(texts))
	case m.hostKey != "" && !m.port.isEmpty():
		return fmt.Sprintf("%s=%s,%s", m.hostKey, said, m.port.of(texts))
	case m.hostKey != "":
		return fmt.Sprintf("%s=%s", m.hostKey, said)
	case !m.port.isEmpty():
		return said + ":" + m.port.of(texts)
	}
	return said
}
