// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Whether the cluster enforces NetworkPolicies, nothing tells; what they say is taken at its word. They are for pods, but
// not for those in their node's network.

// isolating returns those of a namespace's policies that close some of the pods to callers, but for whom their rules admit.
func isolating(all []networkingv1.NetworkPolicy, pods []corev1.Pod) []networkingv1.NetworkPolicy {
	return slices.DeleteFunc(slices.Clone(all), func(policy networkingv1.NetworkPolicy) bool {
		types := policy.Spec.PolicyTypes
		return len(types) > 0 && !slices.Contains(types, networkingv1.PolicyTypeIngress) ||
			!slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return isIsolatedBy(&policy, &pod) })
	})
}

func isIsolatedBy(policy *networkingv1.NetworkPolicy, pod *corev1.Pod) bool {
	return !pod.Spec.HostNetwork && selects(&policy.Spec.PodSelector, pod.Labels)
}

// selects reports whether a selector, as NetworkPolicies have it, matches: an empty one matches everything.
func selects(selector *metav1.LabelSelector, set labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(set)
}

// policies looks whether the policies admit anybody at all to the port. That is no hop where there are none.
func (t *tail) policies() (Hop, bool) {
	b := t.backend
	hop := b.hop(CheckPolicies)
	if b.policiesErr != nil {
		return unread(b.object(), CheckPolicies, "the NetworkPolicies that may be for its pods", b.policiesErr,
			right{"list", "networkpolicies.networking.k8s.io", b.key.namespace}), true
	}
	if len(b.policies) == 0 {
		return hop, false
	}
	if t.admits(func(networkingv1.NetworkPolicyPeer, string) verdict { return maybe }) == no {
		hop.State = Broken
		hop.Message = fmt.Sprintf("%s admits nobody to port %s of its pods", t.titles(), t.targetTitle())
		hop.Hint = t.policyHint()
		return hop, true
	}
	hop.Message = fmt.Sprintf("%s admits callers to port %s of its pods", t.titles(), t.targetTitle())
	return hop, true
}

// titles names the policies.
func (t *tail) titles() string {
	names := make([]string, len(t.backend.policies))
	for i := range t.backend.policies {
		names[i] = "networkpolicy/" + t.backend.policies[i].Name
	}
	return strings.Join(names, ", ")
}

func (t *tail) policyHint() string {
	return fmt.Sprintf("see 'kubectl describe networkpolicy %s -n %s'", t.backend.policies[0].Name, t.backend.key.namespace)
}

// verdict is whether a policy admits somebody.
type verdict int

const (
	no verdict = iota
	maybe
	yes
)

// peerFunc says whether a peer, as a policy of a namespace has it, is somebody.
type peerFunc func(peer networkingv1.NetworkPolicyPeer, namespace string) verdict

// admits asks all policies for every pod that they isolate. A pod is open if any rule of any of its policies admits the
// caller. The verdict is that for the pods on the whole: some that are closed leave a doubt.
func (t *tail) admits(peer peerFunc) verdict {
	verdicts := make([]verdict, len(t.backend.pods))
	for i := range t.backend.pods {
		pod := &t.backend.pods[i]
		isolated, best := false, no
		for j := range t.backend.policies {
			policy := &t.backend.policies[j]
			if !isIsolatedBy(policy, pod) {
				continue
			}
			isolated = true
			for _, rule := range policy.Spec.Ingress {
				best = max(best, min(t.portVerdict(rule.Ports, pod), peersVerdict(rule.From, policy.Namespace, peer)))
			}
		}
		if !isolated {
			best = yes
		}
		verdicts[i] = best
	}
	switch {
	case len(verdicts) == 0:
		return maybe
	case slices.Min(verdicts) == slices.Max(verdicts):
		return verdicts[0]
	}
	return maybe
}

func peersVerdict(peers []networkingv1.NetworkPolicyPeer, namespace string, of peerFunc) verdict {
	if len(peers) == 0 {
		return yes
	}
	best := no
	for _, peer := range peers {
		best = max(best, of(peer, namespace))
	}
	return best
}

func (t *tail) portVerdict(ports []networkingv1.NetworkPolicyPort, pod *corev1.Pod) verdict {
	if len(ports) == 0 {
		return yes
	}
	best := no
	for _, port := range ports {
		protocol := corev1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		switch {
		case protocol != t.port.Protocol:
		case port.Port == nil:
			best = yes
		case t.target == 0:
			best = max(best, maybe)
		case t.isPolicyPort(port, pod):
			best = yes
		}
	}
	return best
}

func (t *tail) isPolicyPort(port networkingv1.NetworkPolicyPort, pod *corev1.Pod) bool {
	if port.Port.Type == intstr.String {
		return slices.ContainsFunc(containerPorts(pod, t.port.Protocol), func(p corev1.ContainerPort) bool {
			return p.Name == port.Port.StrVal && p.ContainerPort == t.target
		})
	}
	last := port.Port.IntVal
	if port.EndPort != nil {
		last = *port.EndPort
	}
	return port.Port.IntVal <= t.target && t.target <= last
}

// admitted looks whether the policies admit the pods of an Ingress class's controller, which is where requests come from.
// Where there are no policies, or they admit nobody anyway, there is nothing to say.
func (w *walk) admitted(ctx context.Context, t *tail, front Object, class string) []Hop {
	b := t.backend
	if len(b.policies) == 0 || !t.open() {
		return nil
	}
	hop := Hop{Object: front, Check: CheckPolicies, State: OK}
	if t.admits(func(networkingv1.NetworkPolicyPeer, string) verdict { return no }) == yes {
		hop.Message = t.titles() + " admits everybody"
		return []Hop{hop}
	}
	pods, needs, err := w.controllers(ctx, class)
	switch {
	case err != nil:
		return []Hop{unread(front, CheckPolicies, "whether "+t.titles()+" admits its controller", err, needs)}
	case len(pods) == 0:
		hop.State = Unknown
		hop.Message = t.titles() + " is for the pods; whether it admits the controller, whose own pods aren't found, can't be told"
		hop.Hint = t.policyHint()
		return []Hop{hop}
	}
	best := no
	for i := range pods {
		caller := caller{pod: &pods[i], namespace: w.namespaceLabels(ctx, pods[i].Namespace)}
		best = max(best, t.admits(caller.isMeant))
	}
	controller := fmt.Sprintf("the controller's pod %s/%s", pods[0].Namespace, pods[0].Name)
	switch best {
	case yes:
		hop.Message = fmt.Sprintf("%s admits %s", t.titles(), controller)
	case maybe:
		hop.State, hop.Hint = Unknown, t.policyHint()
		hop.Message = fmt.Sprintf("whether %s admits %s can't be told", t.titles(), controller)
	case no:
		hop.State, hop.Hint = Broken, t.policyHint()
		hop.Message = fmt.Sprintf("%s doesn't admit %s to port %s of the pods", t.titles(), controller, t.targetTitle())
	}
	return []Hop{hop}
}

// caller is a pod that calls.
type caller struct {
	pod *corev1.Pod
	// namespace are the labels of its namespace, of which there is always the name's.
	namespace namespaceLabels
}

// namespaceLabels are those of a namespace: all, or those that are known without reading it.
type namespaceLabels struct {
	labels.Set

	all bool
}

func (w *walk) namespaceLabels(ctx context.Context, name string) namespaceLabels {
	namespace, err := w.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return namespaceLabels{Set: labels.Set{corev1.LabelMetadataName: name}}
	}
	return namespaceLabels{labels.Merge(namespace.Labels, labels.Set{corev1.LabelMetadataName: name}), true}
}

// isMeant says whether a peer of a policy in a namespace is the caller. Where the caller is in its node's network, its
// labels count in some clusters and don't in others.
func (c caller) isMeant(peer networkingv1.NetworkPolicyPeer, namespace string) verdict {
	if peer.IPBlock != nil {
		return inBlock(peer.IPBlock, c.pod.Status.PodIP)
	}
	v := c.namespaceMeant(peer.NamespaceSelector, namespace)
	if peer.PodSelector != nil && !selects(peer.PodSelector, c.pod.Labels) {
		v = no
	}
	if c.pod.Spec.HostNetwork {
		v = min(v, maybe)
	}
	return v
}

func (c caller) namespaceMeant(selector *metav1.LabelSelector, namespace string) verdict {
	if selector == nil {
		if c.pod.Namespace == namespace {
			return yes
		}
		return no
	}
	if c.namespace.all || len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		if selects(selector, c.namespace.Set) {
			return yes
		}
		return no
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return no
	}
	requirements, _ := s.Requirements()
	v := yes
	for _, r := range requirements {
		switch {
		case r.Key() != corev1.LabelMetadataName:
			v = min(v, maybe)
		case !r.Matches(c.namespace.Set):
			return no
		}
	}
	return v
}

// inBlock says whether an address is one of a block.
func inBlock(block *networkingv1.IPBlock, address string) verdict {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return maybe
	}
	contains := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		return err == nil && prefix.Contains(ip)
	}
	if contains(block.CIDR) && !slices.ContainsFunc(block.Except, contains) {
		return yes
	}
	return no
}
