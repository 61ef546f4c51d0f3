// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

func TestPolicyWarnings(t *testing.T) {
	const (
		// Pods of the namespace are closed, but for what other policies admit.
		denyAll     = `{podSelector: {}, policyTypes: [Ingress, Egress]}`
		denyIngress = `{podSelector: {}, policyTypes: [Ingress]}`
		denyEgress  = `{podSelector: {}, policyTypes: [Egress]}`

		keptFrom     = " keeps the traffic-proxy from pods of service/cart: callers that this machine doesn't answer get no answer"
		notForProxy  = " is for pods of service/cart but not for the traffic-proxy: "
		othersGetIn  = "callers that it keeps out get in while the Service is intercepted"
		someDoNot    = "callers that only it lets in don't get in while the Service is intercepted"
		reachesMore  = "the traffic-proxy may reach what it forbids"
		reachesFewer = "the traffic-proxy may not reach what only it allows"
	)
	tests := []struct {
		name     string
		policies []string // the specs of a, b, c…
		pod      func(*corev1.Pod)
		want     []string
	}{
		{name: "none"},
		{name: "of other pods", policies: []string{`{podSelector: {matchLabels: {app: orders}}, policyTypes: [Ingress]}`}},
		{
			name:     "of the origin pods",
			policies: []string{`{podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}`},
			want:     []string{"a" + notForProxy + othersGetIn},
		},
		{
			name:     "of the origin pods, keeping the proxy from them",
			policies: []string{`{podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`},
			want:     []string{"a" + notForProxy + othersGetIn + "; " + reachesMore, "a" + keptFrom},
		},
		{
			name:     "of the origin pods, but open",
			policies: []string{`{podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`},
		},
		{
			name:     "of all pods, naming the proxy",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app.kubernetes.io/name: traffic-proxy}}}]}], egress: [{to: [{podSelector: {matchLabels: {app: cart}}}]}]}`},
		},
		{name: "of all pods, closed", policies: []string{denyAll}, want: []string{"a" + keptFrom}},
		{name: "of all pods, closed inwards", policies: []string{denyIngress}, want: []string{"a" + keptFrom}},
		{name: "of all pods, closed outwards", policies: []string{denyEgress}, want: []string{"a" + keptFrom}},
		{
			name:     "of all pods, closed twice",
			policies: []string{denyEgress, denyIngress},
			want:     []string{"a, networkpolicy/b keep the traffic-proxy from pods of service/cart: callers that this machine doesn't answer get no answer"},
		},
		{
			name:     "of all pods, open within the namespace",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}], egress: [{to: [{podSelector: {}}]}]}`},
		},
		{
			name: "of all pods, closed, with a policy for the Service",
			policies: []string{
				denyIngress,
				`{podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
			},
			want: []string{"b" + notForProxy + someDoNot, "a, networkpolicy/b keep the traffic-proxy from pods of service/cart: callers that this machine doesn't answer get no answer"},
		},
		{
			name: "of all pods, closed, with a way out for the Service",
			policies: []string{
				denyEgress,
				`{podSelector: {matchLabels: {app: cart}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`,
			},
			want: []string{"b" + notForProxy + reachesFewer, "a" + keptFrom},
		},
		{
			name: "of all pods, closed, with a way for the proxy",
			policies: []string{
				denyAll,
				`{podSelector: {matchLabels: {app.kubernetes.io/managed-by: kubectl-velo}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: cart}}}]}]}`,
				`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchExpressions: [{key: kubectl-velo.github.io/session, operator: Exists}]}}]}]}`,
			},
		},
		{
			name:     "a port of the Service",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 80}]}]}`},
		},
		{
			name:     "a range with a port of the Service",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 79, endPort: 81}]}]}`},
		},
		{
			name:     "a port of the Service by name",
			policies: []string{`{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: web}]}]}`},
		},
		{
			name:     "every TCP port",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{protocol: TCP}]}]}`},
		},
		{
			name:     "other ports",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 81}, {port: 70, endPort: 79}, {port: admin}, {port: 80, protocol: UDP}]}]}`},
			want:     []string{"a" + keptFrom},
		},
		{
			name:     "another namespace",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress}}}]}]}`},
			want:     []string{"a" + keptFrom},
		},
		{
			name:     "this namespace by name",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}]}`},
		},
		{
			name:     "namespaces by a label that nothing is known of",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]}`},
		},
		{
			name:     "other pods of namespaces that nothing is known of",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}, podSelector: {matchLabels: {app: web}}}]}]}`},
			want:     []string{"a" + keptFrom},
		},
		{
			name:     "addresses",
			policies: []string{`{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`},
		},
		{
			name: "pods in their node's network", policies: []string{denyAll, `{podSelector: {matchLabels: {app: cart}}, policyTypes: [Ingress]}`},
			pod: func(p *corev1.Pod) { p.Spec.HostNetwork = true },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			objects := []runtime.Object{service("shop", "cart", ""), cartPod()}
			if tt.pod != nil {
				objects[1] = cartPod(tt.pod)
			}
			for i, spec := range tt.policies {
				policy := &networkingv1.NetworkPolicy{}
				if err := yaml.UnmarshalStrict([]byte(spec), &policy.Spec); err != nil {
					t.Fatal(err)
				}
				policy.Namespace, policy.Name = "shop", string(rune('a'+i))
				objects = append(objects, policy)
			}
			var want []string
			for _, line := range tt.want {
				want = append(want, "⚠ networkpolicy/"+line)
			}
			if got := warned(t, interceptOptions{}, objects...); !slices.Equal(got, want) {
				t.Errorf("it warned of\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
}

func TestPoliciesOfOtherNamespaces(t *testing.T) {
	elsewhere := &networkingv1.NetworkPolicy{}
	elsewhere.Namespace, elsewhere.Name = "bank", "deny"
	elsewhere.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if got := warned(t, interceptOptions{}, service("shop", "cart", ""), cartPod(), elsewhere); len(got) > 0 {
		t.Errorf("it warned of %q", got)
	}
}
