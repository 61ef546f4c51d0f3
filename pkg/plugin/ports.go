// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// portFlag is one --port LOCAL:REMOTE.
type portFlag struct {
	// local is a port of this machine, or 0: the number of the container port.
	local uint16
	// remote is one of the Service's ports, by number, name or target port.
	remote string
}

// parsePortFlag reads LOCAL:REMOTE, or REMOTE alone, a number of which is LOCAL's, too.
func parsePortFlag(value string) (portFlag, error) {
	local, remote, both := strings.Cut(value, ":")
	if !both {
		local, remote = "", value
	}
	invalid := func(why string) (portFlag, error) {
		return portFlag{}, usageErrorf("--port %q: %s", value, why)
	}
	// A Service's port may be called 3002-21458, but who writes that has mistaken the hyphen for the colon.
	numbers := strings.Trim(remote, "0123456789-") == ""
	if remote == "" || both && local == "" || strings.Contains(remote, ":") || !both && numbers && strings.Contains(remote, "-") {
		return invalid("want LOCAL:REMOTE, such as 3002:8080")
	}
	p := portFlag{remote: remote}
	if both {
		number, err := parsePortNumber(local)
		if err != nil {
			return invalid("LOCAL " + err.Error())
		}
		p.local = number
	}
	switch {
	case strings.Trim(remote, "0123456789") == "":
		number, err := parsePortNumber(remote)
		if err != nil {
			return invalid("REMOTE " + err.Error())
		}
		p.remote = strconv.Itoa(int(number))
		p.local = cmp.Or(p.local, number)
	case len(validation.IsDNS1123Label(remote)) > 0 || numbers:
		// A Service's port is called by a DNS label; what names a container's is one, too.
		return invalid("REMOTE is neither a port number nor the name of one")
	}
	return p, nil
}

func parsePortNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port number: want 1 to 65535", s)
	}
	return uint16(n), nil
}

// servicePort is a port of a Service with the container port it leads to.
type servicePort struct {
	corev1.ServicePort
	container uint16
}

// title names the port for people: by number, and name if it has one.
func (p servicePort) title() string {
	if p.Name == "" {
		return strconv.Itoa(int(p.Port))
	}
	return fmt.Sprintf("%d (%s)", p.Port, p.Name)
}

// describe lists everything the port may be called.
func (p servicePort) describe() string {
	s := p.title()
	if p.TargetPort.Type == intstr.String {
		s += ", target port " + p.TargetPort.StrVal
	}
	if p.container != portNumber(p.Port) {
		s += ", container port " + strconv.Itoa(int(p.container))
	}
	if p.Protocol != corev1.ProtocolTCP {
		s += ", " + string(p.Protocol)
	}
	return s
}

func (p servicePort) isCalled(remote string) bool {
	return remote == p.Name ||
		remote == strconv.Itoa(int(p.Port)) ||
		remote == strconv.Itoa(int(p.container)) ||
		p.TargetPort.Type == intstr.String && remote == p.TargetPort.StrVal
}

// portNumber converts a number that the API server has validated as a port.
func portNumber(n int32) uint16 { return uint16(n) } //nolint:gosec // 1 to 65535 by the API's validation

// servicePorts finds the container port behind each port of a Service. Where no pod tells the number behind a name, the
// Service's own number stands in: any will do for a traffic-proxy.
func servicePorts(service *corev1.Service, pods []corev1.Pod) []servicePort {
	ports := make([]servicePort, 0, len(service.Spec.Ports))
	for _, port := range service.Spec.Ports {
		if port.Protocol == "" {
			port.Protocol = corev1.ProtocolTCP
		}
		p := servicePort{ServicePort: port, container: portNumber(port.Port)}
		switch {
		case port.TargetPort.Type == intstr.String:
			if number, ok := namedPort(pods, port.TargetPort.StrVal, port.Protocol); ok {
				p.container = number
			}
		case port.TargetPort.IntVal != 0:
			p.container = portNumber(port.TargetPort.IntVal)
		}
		ports = append(ports, p)
	}
	return ports
}

// namedPort returns the number of the container port of that name, as the newest of the pods has it.
func namedPort(pods []corev1.Pod, name string, protocol corev1.Protocol) (uint16, bool) {
	newest := slices.Clone(pods)
	slices.SortFunc(newest, func(a, b corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	for i := range newest {
		spec := &newest[i].Spec
		for _, container := range slices.Concat(spec.Containers, spec.InitContainers) {
			for _, port := range container.Ports {
				if port.Name == name && (port.Protocol == protocol || port.Protocol == "" && protocol == corev1.ProtocolTCP) {
					return portNumber(port.ContainerPort), true
				}
			}
		}
	}
	return 0, false
}

// interceptedPort is a port of the Service whose connections go to this machine.
type interceptedPort struct {
	servicePort
	local uint16
	// called is what the user calls it, if it was named.
	called string
}

// title names the port as the Service does, and, where the user has called it by what it is in the pods, by that, too.
func (p interceptedPort) title() string {
	var also string
	switch p.called {
	case "", p.Name, strconv.Itoa(int(p.Port)):
	case strconv.Itoa(int(p.container)):
		also = "container port " + p.called
	case p.TargetPort.StrVal:
		also = "target port " + p.called
	}
	switch {
	case also == "":
		return p.servicePort.title()
	case p.Name == "":
		return fmt.Sprintf("%d (%s)", p.Port, also)
	}
	return fmt.Sprintf("%d (%s, %s)", p.Port, p.Name, also)
}

// choosePorts decides which ports are intercepted and where they lead: those that flags name, or all TCP ports.
func choosePorts(service string, ports []servicePort, flags []portFlag) ([]interceptedPort, error) {
	if len(flags) == 0 {
		var all []interceptedPort
		for _, port := range ports {
			if port.Protocol == corev1.ProtocolTCP {
				all = append(all, interceptedPort{servicePort: port, local: port.container})
			}
		}
		if len(all) == 0 {
			return nil, fmt.Errorf("service %s has no TCP port: UDP can't be intercepted", service)
		}
		return all, nil
	}
	var chosen []interceptedPort
	var problems []error
	for _, flag := range flags {
		found, err := findPort(service, ports, flag.remote)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		more := make([]interceptedPort, 0, len(found))
		for _, port := range found {
			more = append(more, interceptedPort{port, cmp.Or(flag.local, port.container), flag.remote})
		}
		problems = append(problems, clash(service, chosen, more))
		chosen = append(chosen, more...)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return chosen, nil
}

// clash says why the ports of one flag can't be added to those of the flags before it, if so.
func clash(service string, chosen, more []interceptedPort) error {
	for _, port := range more {
		for _, earlier := range chosen {
			switch {
			case earlier.container == port.container:
				return usageErrorf("--port names port %s of service %s twice", port.title(), service)
			case earlier.local == port.local:
				return usageErrorf("--port gives local port %d to two ports of service %s", port.local, service)
			}
		}
	}
	return nil
}

// findPort returns the ports that remote may mean. More than one of them are ports that lead to the same container
// port, which can only be intercepted together.
func findPort(service string, ports []servicePort, remote string) ([]servicePort, error) {
	var tcp, other []servicePort
	for _, port := range ports {
		switch {
		case !port.isCalled(remote):
		case port.Protocol == corev1.ProtocolTCP:
			tcp = append(tcp, port)
		default:
			other = append(other, port)
		}
	}
	switch {
	case len(tcp) == 0 && len(other) > 0:
		return nil, fmt.Errorf("port %s of service %s is %s, which can't be intercepted: it stays with its pods",
			other[0].title(), service, other[0].Protocol)
	case len(tcp) == 0:
		return nil, fmt.Errorf("service %s has no port %s; its ports are:%s", service, remote, listPorts(ports))
	}
	for _, port := range tcp[1:] {
		if port.container != tcp[0].container {
			return nil, fmt.Errorf("port %s of service %s is ambiguous; name the one you mean:%s", remote, service, listPorts(tcp))
		}
	}
	// Every port that leads there comes along, whatever it is called.
	found := tcp[:0:0]
	for _, port := range ports {
		if port.Protocol == corev1.ProtocolTCP && port.container == tcp[0].container {
			found = append(found, port)
		}
	}
	return found, nil
}

func listPorts(ports []servicePort) string {
	var b strings.Builder
	for _, port := range ports {
		b.WriteString("\n  " + port.describe())
	}
	return b.String()
}
