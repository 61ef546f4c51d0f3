// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// policyWarnings are about NetworkPolicies: those that are for the origin pods but not for the traffic-proxy, which has
// other labels, and those that come between the two. Whether the cluster enforces any, nothing tells. Rules that depend
// on addresses, or on labels of the namespace other than its name, are taken to admit the traffic-proxy.
func (s *session) policyWarnings(ctx context.Context, pods []corev1.Pod) []string {
	list, err := s.client.NetworkingV1().NetworkPolicies(s.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil // to read them takes a right that an intercept doesn't
	}
	all := policies(list.Items)
	// Policies are not for pods in their node's network.
	pods = slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool { return pod.Spec.HostNetwork })
	proxy := labels.Set(s.proxySpec().PodLabels())

	var warnings []string
	for i := range all {
		policy := &all[i]
		isFor := func(pod corev1.Pod) bool { return selects(&policy.Spec.PodSelector, pod.Labels) }
		if selects(&policy.Spec.PodSelector, proxy) || !slices.ContainsFunc(pods, isFor) {
			continue
		}
		if lost := all.of(proxy).without(policy); len(lost) > 0 {
			warnings = append(warnings, fmt.Sprintf("networkpolicy/%s is for pods of service/%s but not for the traffic-proxy: %s",
				policy.Name, s.name, strings.Join(lost, "; ")))
		}
	}
	switch between := s.between(all, proxy, pods); len(between) {
	case 0:
	case 1:
		warnings = append(warnings, fmt.Sprintf("%s keeps the traffic-proxy from pods of service/%s: callers that this machine doesn't answer get no answer",
			between[0], s.name))
	default:
		warnings = append(warnings, fmt.Sprintf("%s keep the traffic-proxy from pods of service/%s: callers that this machine doesn't answer get no answer",
			strings.Join(between, ", "), s.name))
	}
	return warnings
}

// between names the policies by which the traffic-proxy doesn't reach some port of some origin pod.
func (s *session) between(all policies, proxy labels.Set, pods []corev1.Pod) []string {
	var names []string
	for _, pod := range pods {
		for _, port := range servicePorts(s.service, []corev1.Pod{pod}) {
			to := destination{&pod, port.container, port.Protocol}
			for _, side := range []struct {
				direction networkingv1.PolicyType
				of        policies
				peer      labels.Set
			}{
				{networkingv1.PolicyTypeEgress, all.of(proxy), pod.Labels},
				{networkingv1.PolicyTypeIngress, all.of(pod.Labels), proxy},
			} {
				isolating := side.of.isolating(side.direction)
				if isolating.admit(side.direction, side.peer, to) {
					continue
				}
				for i := range isolating {
					if name := "networkpolicy/" + isolating[i].Name; !slices.Contains(names, name) {
						names = append(names, name)
					}
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// policies are NetworkPolicies of one namespace.
type policies []networkingv1.NetworkPolicy

// of returns those that are for a pod with such labels.
func (p policies) of(pod labels.Set) policies {
	return slices.DeleteFunc(slices.Clone(p), func(policy networkingv1.NetworkPolicy) bool {
		return !selects(&policy.Spec.PodSelector, pod)
	})
}

// isolating returns those by which their pods are closed in one direction, but for what their rules admit.
func (p policies) isolating(direction networkingv1.PolicyType) policies {
	return slices.DeleteFunc(slices.Clone(p), func(policy networkingv1.NetworkPolicy) bool {
		return !slices.Contains(policy.Spec.PolicyTypes, direction)
	})
}

// without says what becomes of another policy's rules where only these policies hold.
func (p policies) without(policy *networkingv1.NetworkPolicy) []string {
	var lost []string
	for _, side := range []struct {
		direction     networkingv1.PolicyType
		open, refused string
	}{
		{networkingv1.PolicyTypeIngress, "callers that it keeps out get in while the Service is intercepted", "callers that only it lets in don't get in while the Service is intercepted"},
		{networkingv1.PolicyTypeEgress, "the traffic-proxy may reach what it forbids", "the traffic-proxy may not reach what only it allows"},
	} {
		if !slices.Contains(policy.Spec.PolicyTypes, side.direction) {
			continue
		}
		others, own := p.isolating(side.direction), rules(policy, side.direction)
		switch {
		case len(others) == 0 && !slices.ContainsFunc(own, rule.isOpen):
			lost = append(lost, side.open)
		case len(others) > 0 && len(own) > 0 && !others.areOpen(side.direction):
			lost = append(lost, side.refused)
		}
	}
	return lost
}

// areOpen reports whether one of them admits everything in a direction.
func (p policies) areOpen(direction networkingv1.PolicyType) bool {
	return slices.ContainsFunc(p, func(policy networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(rules(&policy, direction), rule.isOpen)
	})
}

// admit reports whether policies that isolate a pod in a direction admit connections between it and a peer: any rule of
// any of them is enough. Where there are none, everything is admitted.
func (p policies) admit(direction networkingv1.PolicyType, peer labels.Set, to destination) bool {
	return len(p) == 0 || slices.ContainsFunc(p, func(policy networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(rules(&policy, direction), func(r rule) bool {
			return r.meansPort(to) && r.meansPeer(policy.Namespace, peer)
		})
	})
}

// rule is one of a policy, in either direction.
type rule struct {
	ports []networkingv1.NetworkPolicyPort
	peers []networkingv1.NetworkPolicyPeer
}

func rules(policy *networkingv1.NetworkPolicy, direction networkingv1.PolicyType) []rule {
	var all []rule
	if direction == networkingv1.PolicyTypeIngress {
		for _, r := range policy.Spec.Ingress {
			all = append(all, rule{r.Ports, r.From})
		}
		return all
	}
	for _, r := range policy.Spec.Egress {
		all = append(all, rule{r.Ports, r.To})
	}
	return all
}

// isOpen reports whether the rule admits everything.
func (r rule) isOpen() bool { return len(r.ports) == 0 && len(r.peers) == 0 }

// meansPeer reports whether the rule may mean a pod of the policy's own namespace.
func (r rule) meansPeer(namespace string, pod labels.Set) bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		return peer.IPBlock != nil ||
			mayBe(peer.NamespaceSelector, namespace) && (peer.PodSelector == nil || selects(peer.PodSelector, pod))
	})
}

// destination is a port of a pod.
type destination struct {
	pod      *corev1.Pod
	port     uint16
	protocol corev1.Protocol
}

func (r rule) meansPort(to destination) bool {
	return len(r.ports) == 0 || slices.ContainsFunc(r.ports, func(port networkingv1.NetworkPolicyPort) bool {
		protocol := corev1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		switch {
		case protocol != to.protocol:
			return false
		case port.Port == nil:
			return true
		case port.Port.Type == intstr.String:
			number, ok := namedPort([]corev1.Pod{*to.pod}, port.Port.StrVal, protocol)
			return ok && number == to.port
		case port.EndPort != nil:
			return port.Port.IntVal <= int32(to.port) && int32(to.port) <= *port.EndPort
		}
		return port.Port.IntVal == int32(to.port)
	})
}

// selects reports whether a selector, as NetworkPolicies have it, matches: an empty one matches everything.
func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}

// mayBe reports whether a selector of namespaces may match one of which only the name is known. None is that of the
// policy itself.
func mayBe(selector *metav1.LabelSelector, namespace string) bool {
	if selector == nil {
		return true
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false
	}
	requirements, _ := s.Requirements()
	return !slices.ContainsFunc(requirements, func(r labels.Requirement) bool {
		return r.Key() == corev1.LabelMetadataName && !r.Matches(labels.Set{corev1.LabelMetadataName: namespace})
	})
}
