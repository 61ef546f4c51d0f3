// SPDX-License-Identifier: Apache-2.0

// Package networkpolicy says whom NetworkPolicies admit, as far as their text tells. Whether the cluster enforces any,
// nothing tells: they are taken at their word. What depends on labels or addresses that aren't known is [Maybe].
package networkpolicy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Verdict is whether somebody is admitted.
type Verdict int

// The verdicts. Of several conditions that all have to hold the least counts, of several that are enough the greatest.
const (
	No Verdict = iota
	Maybe
	Yes
)

func verdictOf(so bool) Verdict {
	if so {
		return Yes
	}
	return No
}

// Policies are NetworkPolicies of one namespace.
type Policies []networkingv1.NetworkPolicy

// Of returns those that are for a pod with such labels. For pods in their node's network there are none, which is for the
// caller to know.
func (p Policies) Of(pod labels.Set) Policies {
	return slices.DeleteFunc(slices.Clone(p), func(policy networkingv1.NetworkPolicy) bool {
		return !selects(&policy.Spec.PodSelector, pod)
	})
}

// Isolating returns those by which their pods are closed in one direction, but for what their rules admit. A policy that
// doesn't say is for callers, as the API has it.
func (p Policies) Isolating(direction networkingv1.PolicyType) Policies {
	return slices.DeleteFunc(slices.Clone(p), func(policy networkingv1.NetworkPolicy) bool {
		types := policy.Spec.PolicyTypes
		return !slices.Contains(types, direction) && (len(types) > 0 || direction != networkingv1.PolicyTypeIngress)
	})
}

// Admit says whether policies that isolate a pod in a direction admit connections between it and a peer: any rule of any
// of them is enough. Where there are none, everybody is admitted.
func (p Policies) Admit(direction networkingv1.PolicyType, peer Peer, to Destination) Verdict {
	best := verdictOf(len(p) == 0)
	for _, policy := range p {
		for _, r := range Rules(&policy, direction) {
			best = max(best, min(r.meansPort(to), r.meansPeer(policy.Namespace, peer)))
		}
	}
	return best
}

// Rule is one of a policy, in either direction.
type Rule struct {
	Ports []networkingv1.NetworkPolicyPort
	Peers []networkingv1.NetworkPolicyPeer
}

// Rules are those of a policy in a direction.
func Rules(policy *networkingv1.NetworkPolicy, direction networkingv1.PolicyType) []Rule {
	var all []Rule
	if direction == networkingv1.PolicyTypeIngress {
		for _, r := range policy.Spec.Ingress {
			all = append(all, Rule{r.Ports, r.From})
		}
		return all
	}
	for _, r := range policy.Spec.Egress {
		all = append(all, Rule{r.Ports, r.To})
	}
	return all
}

// IsOpen reports whether the rule admits everything.
func (r Rule) IsOpen() bool { return len(r.Ports) == 0 && len(r.Peers) == 0 }

func (r Rule) meansPeer(namespace string, of Peer) Verdict {
	best := verdictOf(len(r.Peers) == 0)
	for _, peer := range r.Peers {
		best = max(best, of(peer, namespace))
	}
	return best
}

// Destination is a port of a pod, the pod's own one.
type Destination struct {
	Pod *corev1.Pod
	// Port is its number, 0 if that isn't known.
	Port     int32
	Protocol corev1.Protocol
}

func (r Rule) meansPort(to Destination) Verdict {
	best := verdictOf(len(r.Ports) == 0)
	for _, port := range r.Ports {
		protocol := corev1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		switch {
		case protocol != to.Protocol:
		case port.Port == nil:
			best = Yes
		case to.Port == 0:
			best = max(best, Maybe)
		default:
			best = max(best, verdictOf(to.is(port)))
		}
	}
	return best
}

// is reports whether a policy's port, or range of them, is the destination's.
func (d Destination) is(port networkingv1.NetworkPolicyPort) bool {
	if port.Port.Type == intstr.Int {
		last := port.Port.IntVal
		if port.EndPort != nil {
			last = *port.EndPort
		}
		return port.Port.IntVal <= d.Port && d.Port <= last
	}
	for _, container := range slices.Concat(d.Pod.Spec.Containers, d.Pod.Spec.InitContainers) {
		for _, p := range container.Ports {
			protocol := p.Protocol == d.Protocol || p.Protocol == "" && d.Protocol == corev1.ProtocolTCP
			if protocol && p.Name == port.Port.StrVal && p.ContainerPort == d.Port {
				return true
			}
		}
	}
	return false
}

// selects reports whether a selector, as NetworkPolicies have it, matches: an empty one matches everything.
func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}
