// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// ParseHost reads what somebody names as a dependency: HOST, HOST:PORT or HOST:PORT/udp, where HOST is anything that the
// cluster can reach, an IPv6 address being in brackets. Without a port these are all ports of a Service. The given
// Services say what the host is; it is a dependency without further proof, even if it is the pod's own.
func ParseHost(value string, services Services) ([]Dependency, error) {
	invalid := func(format string, args ...any) ([]Dependency, error) {
		return nil, fmt.Errorf("%q: %w", value, fmt.Errorf(format, args...))
	}
	written, number, protocol, err := splitHost(value)
	if err != nil {
		return invalid("%w", err)
	}
	name := canonical(written)
	if !isAddress(name) {
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			return invalid("%s is no host: want HOST, HOST:PORT or HOST:PORT/udp", strconv.Quote(written))
		}
	}
	x := newIndex(services)
	h, known := x.lookup(written)
	if !known {
		h = host{destination: destination{host: name}, name: name, service: &Service{}}
	}
	var ports []Port
	switch {
	case number == 0 && len(h.service.Ports) > 0:
		ports = h.service.Ports
	case number == 0 && known && !h.unseen:
		return invalid("service %s/%s lists no ports: want HOST:PORT", h.namespace, h.destination.service)
	case number == 0:
		return invalid("%s is no service that can be seen from here: want HOST:PORT", name)
	case protocol != "":
		ports = []Port{{number, protocol}}
	default:
		if ports = h.service.having(number); len(ports) == 0 {
			ports = portsOf(number)
		}
	}
	var all collection
	for _, port := range ports {
		all.add(Dependency{
			Namespace: h.namespace, Service: h.destination.service, Pod: h.pod,
			Names: []string{name}, Port: port.Number, Protocol: port.Protocol,
			Evidence: []Evidence{{Where: "--dep", Excerpt: value}},
			Notes:    notes(mention{}, h, port.Number),
		})
	}
	return all.sorted(), nil
}

// splitHost splits HOST[:PORT[/PROTOCOL]]. An IPv6 address may go without brackets if there is no port.
func splitHost(value string) (host string, port uint16, protocol Protocol, err error) {
	host, kind, ok := strings.Cut(value, "/")
	if ok {
		protocol = Protocol(kind)
		if protocol != TCP && protocol != UDP {
			return "", 0, "", fmt.Errorf("%q is no protocol: want tcp or udp", kind)
		}
	}
	bare := !strings.Contains(host, ":") || strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") || isAddress(host)
	if bare {
		if protocol != "" {
			return "", 0, "", fmt.Errorf("/%s says nothing without a port", protocol)
		}
		return host, 0, "", nil
	}
	host, number, err := net.SplitHostPort(host)
	if err != nil {
		return "", 0, "", errors.New("want HOST, HOST:PORT or HOST:PORT/udp, with IPv6 addresses in brackets")
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return "", 0, "", fmt.Errorf("%q is no port number: want 1 to 65535", number)
	}
	return host, uint16(n), protocol, nil
}
