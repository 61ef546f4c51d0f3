// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// targeted compares the port's target with the container ports of the pods. To declare a port is not to listen at it, nor
// the other way round: a number that nobody declares is only strange, but a name that nobody declares leads nowhere.
func (t *tail) targeted() Hop {
	b := t.backend
	hop := b.hop(CheckPort)
	target := t.port.TargetPort
	if target.Type == intstr.Int {
		t.target = target.IntVal
		if t.target == 0 {
			t.target = t.port.Port
		}
	}
	hop.Message = fmt.Sprintf("port %s leads to target port %s", portTitle(t.port), t.targetTitle())
	if len(b.pods) == 0 {
		if target.Type == intstr.String {
			hop.State, hop.Message = Unknown, hop.Message+", of which no pod is known to tell its number"
		}
		return hop
	}
	declared := containerPorts(&b.pods[0], t.port.Protocol)
	if target.Type == intstr.String {
		return t.named(hop, declared)
	}
	isTarget := func(p corev1.ContainerPort) bool { return p.ContainerPort == t.target }
	if len(declared) > 0 && !slices.ContainsFunc(declared, isTarget) {
		hop.State = Warning
		hop.Message += ", which no container of its pods declares; they have " + containerTitles(declared)
		hop.Hint = t.mend(declared)
	}
	return hop
}

// named looks for the container port that the target port names.
func (t *tail) named(hop Hop, declared []corev1.ContainerPort) Hop {
	name := t.port.TargetPort.StrVal
	missing := 0
	for i := range t.backend.pods {
		ports := containerPorts(&t.backend.pods[i], t.port.Protocol)
		at := slices.IndexFunc(ports, func(p corev1.ContainerPort) bool { return p.Name == name })
		switch {
		case at < 0:
			missing++
		case t.target == 0:
			t.target = ports[at].ContainerPort
		}
	}
	switch missing {
	case 0:
		hop.Message += fmt.Sprintf(", which is %d", t.target)
		return hop
	case len(t.backend.pods):
		hop.State = Broken
		hop.Message += ", but no container of its pods has a port of that name; they have " + containerTitles(declared)
	default:
		hop.State = Warning
		hop.Message += fmt.Sprintf(", but %d of %s have no container port of that name", missing, counted(len(t.backend.pods), "pod"))
	}
	hop.Hint = t.mend(declared)
	return hop
}

// targetTitle is the target port as the Service has it.
func (t *tail) targetTitle() string {
	if t.port.TargetPort.Type == intstr.String {
		return t.port.TargetPort.StrVal
	}
	return strconv.Itoa(int(t.target))
}

// mend is how to set the target port: outright, if there is but one that it can be.
func (t *tail) mend(declared []corev1.ContainerPort) string {
	b := t.backend
	if len(declared) != 1 {
		return "run '" + b.command("edit", "") + "'"
	}
	index := slices.IndexFunc(b.service.Spec.Ports, func(p corev1.ServicePort) bool {
		return p.Port == t.port.Port && p.Name == t.port.Name
	})
	value := strconv.Itoa(int(declared[0].ContainerPort))
	if name := declared[0].Name; name != "" {
		value = strconv.Quote(name)
	}
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/ports/%d/targetPort","value":%s}]`, index, value)
	return "run: " + b.command("patch", "--type=json -p '"+patch+"'")
}

// containerPorts are those that the containers of a pod declare for a protocol, its sidecars' too.
func containerPorts(pod *corev1.Pod, protocol corev1.Protocol) []corev1.ContainerPort {
	var all []corev1.ContainerPort
	containers := slices.Clone(pod.Spec.Containers)
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	for i := range containers {
		for _, port := range containers[i].Ports {
			if port.Protocol == protocol || port.Protocol == "" && protocol == corev1.ProtocolTCP {
				all = append(all, port)
			}
		}
	}
	return all
}

func containerTitles(ports []corev1.ContainerPort) string {
	if len(ports) == 0 {
		return "none"
	}
	titles := make([]string, len(ports))
	for i, port := range ports {
		titles[i] = strconv.Itoa(int(port.ContainerPort))
		if port.Name != "" {
			titles[i] = fmt.Sprintf("%s (%d)", port.Name, port.ContainerPort)
		}
	}
	return strings.Join(titles, ", ")
}

// endpoints looks where the EndpointSlices lead to, which is what the nodes follow. A slice of another port has none for
// this one.
func (t *tail) endpoints() Hop {
	b := t.backend
	hop := b.hop(CheckEndpoints)
	if b.slicesErr != nil {
		needs := right{"list", "endpointslices.discovery.k8s.io", b.key.namespace}
		return unread(b.object(), CheckEndpoints, "its EndpointSlices", b.slicesErr, needs)
	}
	var ready, serving, terminating, unready int
	for i := range b.slices {
		slice := &b.slices[i]
		if !slices.ContainsFunc(slice.Ports, t.isPort) {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			c := endpoint.Conditions
			switch {
			case c.Ready == nil || *c.Ready: // no word is to be taken as ready, says the API
				ready++
			case c.Terminating != nil && *c.Terminating:
				terminating++
				if c.Serving != nil && *c.Serving {
					serving++
				}
			default:
				unready++
			}
		}
	}
	hop.Message = "its EndpointSlices lead to " + counted(ready, "ready endpoint")
	others := ""
	if unready > 0 {
		others += fmt.Sprintf(", and have %d that are not", unready)
	}
	if terminating > 0 {
		others += fmt.Sprintf(", and have %d that are terminating, of which %d still serve", terminating, serving)
	}
	switch {
	case ready > 0:
	case serving > 0:
		// Nodes fall back on these while there are no others.
		hop.State = Warning
	default:
		hop.State = Broken
		hop.Message = "its EndpointSlices lead to no ready endpoint of port " + portTitle(t.port)
		hop.Hint = fmt.Sprintf("see 'kubectl describe endpointslices -l %s=%s -n %s'",
			discoveryv1.LabelServiceName, b.key.name, b.key.namespace)
	}
	hop.Message += others
	return hop
}

// isPort reports whether an EndpointSlice's port is that of the tail: they are called as the Service calls it.
func (t *tail) isPort(port discoveryv1.EndpointPort) bool {
	name := ""
	if port.Name != nil {
		name = *port.Name
	}
	return name == t.port.Name
}
