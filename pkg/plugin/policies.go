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

	"github.com/kubectl-velo/kubectl-velo/pkg/networkpolicy"
)

// policyWarnings are about NetworkPolicies: those that are for the origin pods but not for the traffic-proxy, which has
// other labels, and those that come between the two. Whether the cluster enforces any, nothing tells. Rules that depend
// on addresses, or on labels of the namespace other than its name, are taken to admit the traffic-proxy.
func (s *session) policyWarnings(ctx context.Context, pods []corev1.Pod) []string {
	list, err := s.client.NetworkingV1().NetworkPolicies(s.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil // to read them takes a right that an intercept doesn't
	}
	all := networkpolicy.Policies(list.Items)
	// Policies are not for pods in their node's network.
	pods = slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool { return pod.Spec.HostNetwork })
	proxy := labels.Set(s.proxySpec().PodLabels())

	var warnings []string
	for i := range all {
		policy := &all[i]
		isFor := func(set labels.Set) bool { return len(all[i:i+1].Of(set)) > 0 }
		if isFor(proxy) || !slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return isFor(pod.Labels) }) {
			continue
		}
		if lost := without(all.Of(proxy), policy); len(lost) > 0 {
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
func (s *session) between(all networkpolicy.Policies, proxy labels.Set, pods []corev1.Pod) []string {
	var names []string
	for _, pod := range pods {
		for _, port := range servicePorts(s.service, []corev1.Pod{pod}) {
			to := networkpolicy.Destination{Pod: &pod, Port: int32(port.container), Protocol: port.Protocol}
			for _, side := range []struct {
				direction networkingv1.PolicyType
				of        networkpolicy.Policies
				peer      labels.Set
			}{
				{networkingv1.PolicyTypeEgress, all.Of(proxy), pod.Labels},
				{networkingv1.PolicyTypeIngress, all.Of(pod.Labels), proxy},
			} {
				isolating := side.of.Isolating(side.direction)
				peer := networkpolicy.Pod{Namespace: s.namespace, Labels: side.peer}
				if isolating.Admit(side.direction, peer.IsMeant, to) != networkpolicy.No {
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

// without says what becomes of a policy's rules where only others hold.
func without(others networkpolicy.Policies, policy *networkingv1.NetworkPolicy) []string {
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
		isolating, own := others.Isolating(side.direction), networkpolicy.Rules(policy, side.direction)
		switch {
		case len(isolating) == 0 && !slices.ContainsFunc(own, networkpolicy.Rule.IsOpen):
			lost = append(lost, side.open)
		case len(isolating) > 0 && len(own) > 0 && !areOpen(isolating, side.direction):
			lost = append(lost, side.refused)
		}
	}
	return lost
}

// areOpen reports whether one of the policies admits everything in a direction.
func areOpen(some networkpolicy.Policies, direction networkingv1.PolicyType) bool {
	return slices.ContainsFunc(some, func(policy networkingv1.NetworkPolicy) bool {
		return slices.ContainsFunc(networkpolicy.Rules(&policy, direction), networkpolicy.Rule.IsOpen)
	})
}
