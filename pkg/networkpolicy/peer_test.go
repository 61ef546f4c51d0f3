// SPDX-License-Identifier: Apache-2.0

package networkpolicy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

func TestIsMeant(t *testing.T) {
	known := Pod{Namespace: "front", Labels: labels.Set{"app": "nginx"}, NamespaceLabels: labels.Set{"team": "edge"}, Address: "10.1.0.5"}
	named := Pod{Namespace: "front", Labels: labels.Set{"app": "nginx"}}
	onNode := known
	onNode.HostNetwork = true
	for _, tt := range []struct {
		name, peer string
		pod        Pod
		want       Verdict
	}{
		{"of another namespace", `{podSelector: {}}`, known, No},
		{"any namespace", `{namespaceSelector: {}}`, known, Yes},
		{"any namespace, of which only the name is known", `{namespaceSelector: {}}`, named, Yes},
		{"its namespace's name", `{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: front}}}`, known, Yes},
		{"its namespace's name alone", `{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: front}}}`, named, Yes},
		{"another namespace's name", `{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}`, named, No},
		{"its namespace's label", `{namespaceSelector: {matchLabels: {team: edge}}}`, known, Yes},
		{"another label", `{namespaceSelector: {matchLabels: {team: core}}}`, known, No},
		{"a label that isn't known", `{namespaceSelector: {matchLabels: {team: edge}}}`, named, Maybe},
		{"a label that isn't known of another namespace", `{namespaceSelector: {matchLabels: {team: edge, kubernetes.io/metadata.name: shop}}}`, named, No},
		{"its label", `{namespaceSelector: {}, podSelector: {matchLabels: {app: nginx}}}`, known, Yes},
		{"not its label", `{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}`, known, No},
		{"in its node's network", `{namespaceSelector: {}}`, onNode, Maybe},
		{"not meant, in its node's network", `{podSelector: {}}`, onNode, No},
		{"its block", `{ipBlock: {cidr: 10.1.0.0/16}}`, known, Yes},
		{"but for its block", `{ipBlock: {cidr: 10.1.0.0/16, except: [10.1.0.0/24]}}`, known, No},
		{"another block", `{ipBlock: {cidr: 10.2.0.0/16}}`, known, No},
		{"a block, of an address that isn't known", `{ipBlock: {cidr: 10.2.0.0/16}}`, named, Maybe},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var peer networkingv1.NetworkPolicyPeer
			if err := yaml.UnmarshalStrict([]byte(tt.peer), &peer); err != nil {
				t.Fatal(err)
			}
			if got := tt.pod.IsMeant(peer, "shop"); got != tt.want {
				t.Errorf("the verdict is %d, want %d", got, tt.want)
			}
		})
	}
}

func TestAdmit(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
		{Name: "http", ContainerPort: 8080}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
	}}}}}
	for _, tt := range []struct {
		name, ingress string
		port          int32
		peer          Peer
		want          Verdict
	}{
		{"no rule", `[]`, 8080, Somebody, No},
		{"an open rule", `[{}]`, 8080, Stranger, Yes},
		{"somebody, perhaps", `[{from: [{podSelector: {}}]}]`, 8080, Somebody, Maybe},
		{"a rule of another port, and one of others", `[{ports: [{port: 9090}]}, {from: [{podSelector: {}}]}]`, 8080, Stranger, No},
		{"its port", `[{ports: [{port: 8080}]}]`, 8080, Stranger, Yes},
		{"its port's name", `[{ports: [{port: http}]}]`, 8080, Stranger, Yes},
		{"a name of another port", `[{ports: [{port: metrics}]}]`, 8080, Stranger, No},
		{"a name, of another protocol", `[{ports: [{port: dns}]}]`, 53, Stranger, No},
		{"another protocol", `[{ports: [{protocol: UDP}]}]`, 8080, Stranger, No},
		{"the protocol", `[{ports: [{protocol: TCP}]}]`, 8080, Stranger, Yes},
		{"a range", `[{ports: [{port: 8000, endPort: 8080}]}]`, 8080, Stranger, Yes},
		{"past a range", `[{ports: [{port: 8000, endPort: 8079}]}]`, 8080, Stranger, No},
		{"a port that isn't known", `[{ports: [{port: 8080}]}]`, 0, Stranger, Maybe},
		{"one rule of several", `[{ports: [{port: 9090}]}, {ports: [{port: 8080}]}]`, 8080, Stranger, Yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var policy networkingv1.NetworkPolicy
			if err := yaml.UnmarshalStrict([]byte("spec: {podSelector: {}, ingress: "+tt.ingress+"}"), &policy); err != nil {
				t.Fatal(err)
			}
			isolating := Policies{policy}.Isolating(networkingv1.PolicyTypeIngress)
			got := isolating.Admit(networkingv1.PolicyTypeIngress, tt.peer, Destination{pod, tt.port, corev1.ProtocolTCP})
			if got != tt.want {
				t.Errorf("the verdict is %d, want %d", got, tt.want)
			}
			if got := (Policies{policy}.Isolating(networkingv1.PolicyTypeEgress)); len(got) > 0 {
				t.Error("a policy for callers closes the other direction")
			}
		})
	}
}

// Without a policy, everybody is admitted.
func TestAdmitOpen(t *testing.T) {
	if got := (Policies{}).Admit(networkingv1.PolicyTypeEgress, Stranger, Destination{}); got != Yes {
		t.Errorf("the verdict is %d", got)
	}
}
