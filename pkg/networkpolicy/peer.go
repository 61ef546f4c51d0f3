// SPDX-License-Identifier: Apache-2.0

package networkpolicy

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Peer says whether it is meant by what a policy of a namespace has as peer.
type Peer func(peer networkingv1.NetworkPolicyPeer, namespace string) Verdict

// Somebody is a peer of whom nothing is known: if it isn't admitted, nobody is.
func Somebody(networkingv1.NetworkPolicyPeer, string) Verdict { return Maybe }

// Stranger is a peer that no policy means: if it is admitted, everybody is.
func Stranger(networkingv1.NetworkPolicyPeer, string) Verdict { return No }

// Pod is what is known of a pod that is a peer.
type Pod struct {
	Namespace string
	Labels    labels.Set
	// NamespaceLabels are nil if no more is known than the namespace's name.
	NamespaceLabels labels.Set
	// Address is its IP address, or empty if it isn't known.
	Address string
	// HostNetwork is whether it is in its node's network. Its labels count in some clusters then, and don't in others.
	HostNetwork bool
}

// IsMeant is the pod's [Peer].
func (p Pod) IsMeant(peer networkingv1.NetworkPolicyPeer, namespace string) Verdict {
	if peer.IPBlock != nil {
		return inBlock(peer.IPBlock, p.Address)
	}
	v := p.isIn(peer.NamespaceSelector, namespace)
	if peer.PodSelector != nil && !selects(peer.PodSelector, p.Labels) {
		v = No
	}
	if p.HostNetwork {
		v = min(v, Maybe)
	}
	return v
}

// isIn says whether the pod is in a namespace that a selector matches. None is that of the policy itself.
func (p Pod) isIn(selector *metav1.LabelSelector, namespace string) Verdict {
	if selector == nil {
		return verdictOf(p.Namespace == namespace)
	}
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return No
	}
	name := labels.Set{corev1.LabelMetadataName: p.Namespace}
	if p.NamespaceLabels != nil {
		return verdictOf(s.Matches(labels.Merge(p.NamespaceLabels, name)))
	}
	v := Yes
	requirements, _ := s.Requirements()
	for _, r := range requirements {
		if r.Key() != corev1.LabelMetadataName {
			v = min(v, Maybe)
		} else if !r.Matches(name) {
			v = No
		}
	}
	return v
}

// inBlock says whether an address is one of a block.
func inBlock(block *networkingv1.IPBlock, address string) Verdict {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return Maybe
	}
	contains := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		return err == nil && prefix.Contains(ip)
	}
	return verdictOf(contains(block.CIDR) && !slices.ContainsFunc(block.Except, contains))
}
