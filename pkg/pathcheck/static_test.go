// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	k8stesting "k8s.io/client-go/testing"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

var (
	ingressTarget = Target{KindIngress, "shop", "web"}
	serviceTarget = Target{KindService, "shop", "web"}
)

const annotation = `{"version":1,"session":"1a2b3c4d","owner":"ada@laptop","since":"2026-01-02T03:04:05Z","selector":{"app":"web"},"proxy":"web-traffic-proxy"}`

// intercepted has the Service lead to a traffic-proxy.
func (s *shop) intercepted() {
	s.service.Annotations = map[string]string{selector.Annotation: annotation}
	s.service.Spec.Selector = map[string]string{selector.SessionLabel: "1a2b3c4d"}
}

func (s *shop) policy(name string, from ...networkingv1.NetworkPolicyPeer) *networkingv1.NetworkPolicy {
	policy := networkingv1.NetworkPolicy{ObjectMeta: meta(name), Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
	}}
	if len(from) > 0 {
		policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: from}}
	}
	s.policies = append(s.policies, policy)
	return &s.policies[len(s.policies)-1]
}

// controller is a pod of the Ingress's.
func controller() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ingress-nginx", Name: "controller-1", Labels: map[string]string{
			"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller",
		}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.1.0.99"},
	}
}

func inNamespace(name string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}}}
}

func TestStaticCauses(t *testing.T) {
	const path = "ingress shop/web → service shop/web: "
	tests := []struct {
		name string
		make func(t *testing.T, s *shop)
		// broken is what follows the path's title, in one line.
		broken string
		// check is a hop that is in a state, with a hint or message that contains something.
		check, hint string
		state       State
	}{
		{name: "all is well"},
		{
			name:   "wrong selector",
			make:   func(_ *testing.T, s *shop) { s.service.Spec.Selector = map[string]string{"app": "web-v2"} },
			broken: "selector app=web-v2 matches no pod; pods of deployment shop/web have app=web",
			check:  CheckSelector, state: Broken, hint: "run 'kubectl set selector svc/web -n shop app=web'",
		},
		{
			name: "wrong selector, one label of two",
			make: func(_ *testing.T, s *shop) {
				s.service.Spec.Selector = map[string]string{"app": "web", "tier": "front"}
				s.pod.Labels = map[string]string{"app": "web", "tier": "back"}
				s.deploy = nil
			},
			broken: "selector app=web,tier=front matches no pod; pod shop/web-1 has tier=back",
			check:  CheckSelector, state: Broken, hint: "kubectl set selector svc/web -n shop app=web,tier=back",
		},
		{
			name: "wrong selector, nothing like it",
			make: func(_ *testing.T, s *shop) {
				s.service.Spec.Selector = map[string]string{"app": "orders"}
				s.pod.Name, s.pod.Labels = "cart-1", map[string]string{"app": "cart"}
				s.deploy.Name, s.deploy.Spec.Template.Labels = "cart", s.pod.Labels
			},
			broken: "selector app=orders matches no pod",
			check:  CheckSelector, state: Broken, hint: "kubectl get pods --show-labels -n shop",
		},
		{
			name: "wrong selector, and other parts of the application",
			make: func(_ *testing.T, s *shop) {
				s.service.Spec.Selector = map[string]string{"app": "web", "part-of": "shop"}
				s.pod.Labels = map[string]string{"app": "orders", "part-of": "shop"}
				s.pod.Name, s.deploy = "orders-1", nil
			},
			broken: "selector app=web,part-of=shop matches no pod",
			check:  CheckSelector, state: Broken, hint: "kubectl get pods --show-labels -n shop",
		},
		{
			name: "wrong selector, a typing error",
			make: func(_ *testing.T, s *shop) {
				s.service.Spec.Selector = map[string]string{"app": "cart", "part-of": "shop"}
				s.pod.Labels = map[string]string{"app": "crat", "part-of": "shop"}
				s.pod.Name, s.deploy = "x-1", nil
			},
			broken: "selector app=cart,part-of=shop matches no pod; pod shop/x-1 has app=crat",
			check:  CheckSelector, state: Broken, hint: "app=crat,part-of=shop",
		},
		{
			name:   "no replicas",
			make:   func(_ *testing.T, s *shop) { s.pod = nil; s.deploy.Spec.Replicas = new(int32(0)) },
			broken: "selector app=web matches no pod; deployment shop/web, whose pods it would match, has 0 replicas",
			check:  CheckSelector, state: Broken, hint: "run 'kubectl scale deployment/web -n shop --replicas=1'",
		},
		{
			name: "readiness failing",
			make: func(_ *testing.T, s *shop) {
				s.unready()
				s.more = append(s.more,
					event("a", corev1.EventTypeWarning, "Readiness probe failed: HTTP probe failed with statuscode: 503\n", now),
					event("b", corev1.EventTypeWarning, "Back-off pulling image", now.Add(-time.Hour)),
					event("c", corev1.EventTypeNormal, "Started container web", now.Add(time.Hour)))
			},
			broken: "no pod is ready: pod shop/web-1: Readiness probe failed: HTTP probe failed with statuscode: 503",
			check:  CheckReadiness, state: Broken, hint: "kubectl describe pod/web-1 -n shop",
		},
		{
			name: "crash loop",
			make: func(_ *testing.T, s *shop) {
				s.unready()
				s.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
					Name:                 "web",
					State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 5m0s"}},
					LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error"}},
				}}
			},
			broken: "no pod is ready: container web of pod shop/web-1 ends again and again, with exit code 3 (Error)",
			check:  CheckReadiness, state: Broken, hint: "kubectl logs web-1 -c web -n shop --previous",
		},
		{
			name: "image that can't be pulled",
			make: func(_ *testing.T, s *shop) {
				s.unready()
				s.pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", State: corev1.ContainerState{
					Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "Back-off pulling image \"web:2\""},
				}}}
			},
			broken: `no pod is ready: container web of pod shop/web-1 waits: ImagePullBackOff: Back-off pulling image "web:2"`,
			check:  CheckReadiness, state: Broken, hint: "kubectl describe pod/web-1 -n shop",
		},
		{
			name: "no node",
			make: func(_ *testing.T, s *shop) {
				s.unready()
				s.pod.Status.Conditions = append(s.pod.Status.Conditions, corev1.PodCondition{
					Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available: 3 Insufficient cpu.",
				})
			},
			broken: "no pod is ready: pod shop/web-1 is on no node: 0/3 nodes are available: 3 Insufficient cpu.",
			check:  CheckReadiness, state: Broken,
		},
		{
			name: "a readiness gate",
			make: func(_ *testing.T, s *shop) {
				s.unready()
				s.pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
			},
			broken: "no pod is ready: pod shop/web-1 waits for its readiness gate example.com/gate",
			check:  CheckReadiness, state: Broken,
		},
		{
			name: "not ready, and led to all the same",
			make: func(_ *testing.T, s *shop) {
				s.unready()
				s.service.Spec.PublishNotReadyAddresses = true
				s.slice.Endpoints[0].Conditions.Ready = new(true)
			},
			check: CheckReadiness, state: Warning,
		},
		{
			name: "terminating endpoints that serve",
			make: func(_ *testing.T, s *shop) {
				s.slice.Endpoints[0].Conditions.Ready = new(false)
				s.slice.Endpoints[0].Conditions.Serving, s.slice.Endpoints[0].Conditions.Terminating = new(true), new(true)
			},
			check: CheckEndpoints, state: Warning,
		},
		{
			name: "some not ready",
			make: func(_ *testing.T, s *shop) {
				second := s.pod.DeepCopy()
				second.Name = "web-0"
				s.more = append(s.more, second)
				s.unready()
				s.slice.Endpoints[0].Conditions.Ready = nil
			},
			check: CheckReadiness, state: Warning, hint: "kubectl describe pod/web-1 -n shop",
		},
		{
			name:   "wrong named port",
			make:   func(_ *testing.T, s *shop) { s.service.Spec.Ports[0].TargetPort = intstr.FromString("htp") },
			broken: "port 80 (http) leads to target port htp, but no container of its pods has a port of that name; they have http (8080)",
			check:  CheckPort, state: Broken,
			hint: `run: kubectl patch svc/web -n shop --type=json -p '[{"op":"replace","path":"/spec/ports/0/targetPort","value":"http"}]'`,
		},
		{
			name:  "undeclared target port",
			make:  func(_ *testing.T, s *shop) { s.service.Spec.Ports[0].TargetPort = intstr.FromInt32(9999) },
			check: CheckPort, state: Warning, hint: `"value":"http"`,
		},
		{
			name:   "no endpoints",
			make:   func(_ *testing.T, s *shop) { s.slice = nil },
			broken: "its EndpointSlices lead to no ready endpoint of port 80 (http)",
			check:  CheckEndpoints, state: Broken, hint: "kubectl describe endpointslices -l kubernetes.io/service-name=web -n shop",
		},
		{
			name:   "no such Service",
			make:   func(_ *testing.T, s *shop) { s.service = nil },
			broken: "service shop/web doesn't exist",
			check:  CheckBackend, state: Broken, hint: "run 'kubectl edit ingress/web -n shop'",
		},
		{
			name:   "no such port",
			make:   func(_ *testing.T, s *shop) { s.service.Spec.Ports[0].Port = 8080 },
			broken: "service shop/web has no port 80; it has 8080 (http)",
			check:  CheckBackend, state: Broken, hint: "run 'kubectl edit ingress/web -n shop'",
		},
		{
			name:   "no Secret",
			make:   func(_ *testing.T, s *shop) { s.secret = nil },
			broken: "secret shop/web-tls, where the certificate for shop.test should be, doesn't exist",
			check:  CheckTLS, state: Broken, hint: "run 'kubectl create secret tls web-tls -n shop --cert=FILE --key=FILE'",
		},
		{
			name: "no Secret, of cert-manager",
			make: func(_ *testing.T, s *shop) {
				s.secret = nil
				s.ingress.Annotations = map[string]string{"cert-manager.io/cluster-issuer": "letsencrypt"}
			},
			broken: "secret shop/web-tls, where the certificate for shop.test should be, doesn't exist",
			check:  CheckTLS, state: Broken, hint: "see 'kubectl describe certificates.cert-manager.io -n shop'",
		},
		{
			name: "expired certificate",
			make: func(t *testing.T, s *shop) {
				s.secret = tlsSecret(t, "web-tls", now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1), "shop.test")
			},
			broken: "the certificate in secret shop/web-tls expired on 2026-02-28",
			check:  CheckTLS, state: Broken, hint: "--dry-run=client -o yaml | kubectl apply -f -",
		},
		{
			name: "certificate that isn't valid yet",
			make: func(t *testing.T, s *shop) {
				s.secret = tlsSecret(t, "web-tls", now.AddDate(0, 0, 1), now.AddDate(1, 0, 0), "shop.test")
			},
			broken: "the certificate in secret shop/web-tls is valid only from 2026-03-02 on",
			check:  CheckTLS, state: Broken,
		},
		{
			name: "certificate for another host",
			make: func(t *testing.T, s *shop) {
				s.secret = tlsSecret(t, "web-tls", now, now.AddDate(1, 0, 0), "other.test", "*.shop.test")
			},
			broken: "the certificate in secret shop/web-tls is for other.test, *.shop.test, not for shop.test",
			check:  CheckTLS, state: Broken,
		},
		{
			name: "certificate that ends soon",
			make: func(t *testing.T, s *shop) {
				s.secret = tlsSecret(t, "web-tls", now, now.AddDate(0, 0, 3), "shop.test")
			},
			check: CheckTLS, state: Warning, hint: "kubectl create secret tls web-tls -n shop",
		},
		{
			name: "certificate without its key",
			make: func(t *testing.T, s *shop) {
				s.secret.Data[corev1.TLSPrivateKeyKey] = nil
			},
			broken: "secret shop/web-tls, where the certificate for shop.test should be, has no tls.key",
			check:  CheckTLS, state: Broken,
		},
		{
			name: "certificate with another's key",
			make: func(t *testing.T, s *shop) {
				_, s.secret.Data[corev1.TLSPrivateKeyKey] = certificatePair(t, now, now, "shop.test")
			},
			broken: "the certificate in secret shop/web-tls can't be used: tls: private key does not match public key",
			check:  CheckTLS, state: Broken,
		},
		{
			name:   "no such class",
			make:   func(_ *testing.T, s *shop) { s.ingress.Spec.IngressClassName = new("traefik") },
			broken: "class traefik doesn't exist; there is nginx",
			check:  CheckClass, state: Broken,
		},
		{
			name: "no class",
			make: func(_ *testing.T, s *shop) {
				s.ingress.Spec.IngressClassName, s.class = nil, nil
				s.ingress.Status.LoadBalancer.Ingress = nil
			},
			broken: "the Ingress names no class, and none is the default; there is none",
			check:  CheckAddress, state: Warning, hint: "kubectl describe ingress/web -n shop",
		},
		{
			name: "an older Ingress",
			make: func(_ *testing.T, s *shop) {
				s.ingress.CreationTimestamp = metav1.NewTime(now)
				older := s.ingress.DeepCopy()
				older.Name, older.CreationTimestamp = "old", metav1.NewTime(now.Add(-time.Hour))
				older.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "orders"
				s.more = append(s.more, older)
			},
			check: CheckHost, state: Warning, hint: "kubectl describe ingress/old -n shop",
		},
		{
			name:   "a policy that admits nobody",
			make:   func(_ *testing.T, s *shop) { s.policy("closed") },
			broken: "networkpolicy/closed admits nobody to port http of its pods",
			check:  CheckPolicies, state: Broken, hint: "kubectl describe networkpolicy closed -n shop",
		},
		{
			name: "a policy for another port",
			make: func(_ *testing.T, s *shop) {
				port := intstr.FromInt32(9090)
				s.policy("metrics").Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: &port}}}}
			},
			broken: "networkpolicy/metrics admits nobody to port http of its pods",
			check:  CheckPolicies, state: Broken,
		},
		{
			name: "a policy that doesn't admit the Ingress",
			make: func(_ *testing.T, s *shop) {
				s.policy("callers", networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}}, inNamespace("monitoring"))
				s.more = append(s.more, controller())
			},
			broken: "networkpolicy/callers doesn't admit the controller's pod ingress-nginx/controller-1 to port http of the pods",
			check:  CheckPolicies, state: Broken, hint: "kubectl describe networkpolicy callers -n shop",
		},
		{
			name: "a policy that admits the Ingress by its namespace",
			make: func(_ *testing.T, s *shop) {
				s.policy("callers", inNamespace("ingress-nginx"))
				s.more = append(s.more, controller())
			},
			check: CheckPolicies, state: OK,
		},
		{
			name: "a policy that admits the Ingress by its address",
			make: func(_ *testing.T, s *shop) {
				s.policy("callers", networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "10.1.0.0/24", Except: []string{"10.1.0.1/32"}}})
				s.more = append(s.more, controller())
			},
			check: CheckPolicies, state: OK,
		},
		{
			name:  "a policy, and an Ingress that isn't found",
			make:  func(_ *testing.T, s *shop) { s.policy("callers", inNamespace("ingress-nginx")) },
			check: CheckPolicies, state: Unknown, hint: "kubectl describe networkpolicy callers -n shop",
		},
		{
			name: "a policy of egress",
			make: func(_ *testing.T, s *shop) {
				s.policy("out").Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
			},
		},
		{
			name:   "a dead intercept",
			make:   func(_ *testing.T, s *shop) { s.intercepted() },
			broken: "its selector was left by a dead intercept of ada@laptop: deployment shop/web-traffic-proxy is not there",
			check:  CheckIntercept, state: Broken, hint: "run 'kubectl velo restore svc/web -n shop'",
		},
		{
			name: "a dead intercept, and another's proxy",
			make: func(_ *testing.T, s *shop) {
				s.intercepted()
				proxy := s.deploy.DeepCopy()
				proxy.Name, proxy.Labels = "web-traffic-proxy", map[string]string{selector.SessionLabel: "ffff"}
				proxy.Status.ReadyReplicas = 1
				s.more = append(s.more, proxy)
			},
			broken: "its selector was left by a dead intercept of ada@laptop: deployment shop/web-traffic-proxy has no ready pod of it",
			check:  CheckIntercept, state: Broken, hint: "run 'kubectl velo restore svc/web -n shop'",
		},
		{
			name: "a dead intercept without its annotation",
			make: func(_ *testing.T, s *shop) {
				s.intercepted()
				s.service.Annotations = nil
			},
			broken: "its selector was left by an intercept, and the annotation that says what it was is gone",
			check:  CheckIntercept, state: Broken, hint: "kubectl set selector svc/web -n shop KEY=VALUE",
		},
		{
			name: "an intercept",
			make: func(_ *testing.T, s *shop) {
				s.intercepted()
				proxy := s.deploy.DeepCopy()
				proxy.Name, proxy.Labels = "web-traffic-proxy", map[string]string{selector.SessionLabel: "1a2b3c4d"}
				proxy.Status.ReadyReplicas = 1
				s.more = append(s.more, proxy)
				s.pod.Labels = map[string]string{selector.SessionLabel: "1a2b3c4d"}
			},
			check: CheckIntercept, state: Warning, hint: "if that session is dead, run 'kubectl velo restore svc/web -n shop'",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newShop(t)
			if tt.make != nil {
				tt.make(t, s)
			}
			r, err := s.checker(s.client()).Check(t.Context(), ingressTarget)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if tt.broken != "" {
				want = []string{path + tt.broken}
			}
			if got := r.Broken(); !slices.Equal(got, want) {
				t.Errorf("broken is %q,\nwant %q\n%s", got, want, said(r))
			}
			if tt.check == "" {
				if r.State() != OK {
					t.Errorf("it is %s:\n%s", r.State(), said(r))
				}
				return
			}
			if !slices.ContainsFunc(r.Paths[0].Hops, func(hop Hop) bool {
				return hop.Check == tt.check && hop.State == tt.state && strings.Contains(hop.Hint, tt.hint)
			}) {
				t.Errorf("no hop %s is %s and has the hint %q:\n%s", tt.check, tt.state, tt.hint, said(r))
			}
		})
	}
}

// A Service is looked at with all that leads to it, and by itself.
func TestPathsOfService(t *testing.T) {
	s := newShop(t)
	other := s.ingress.DeepCopy()
	other.Name, other.Spec.Rules[0].Host, other.Spec.TLS = "admin", "admin.test", nil
	unrelated := s.ingress.DeepCopy()
	unrelated.Name, unrelated.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "orders", "orders"
	s.more = append(s.more, other, unrelated)
	s.service.Spec.Ports = append(s.service.Spec.Ports, corev1.ServicePort{Name: "metrics", Port: 9090})
	s.service.Spec.Type = corev1.ServiceTypeLoadBalancer
	s.service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
	r, err := s.checker(s.client()).Check(t.Context(), serviceTarget)
	if err != nil {
		t.Fatal(err)
	}
	var titles []string
	for i := range r.Paths {
		titles = append(titles, r.Paths[i].String())
	}
	want := []string{
		"ingress shop/admin → service shop/web port 80 (http)",
		"ingress shop/web → service shop/web port 80 (http)",
		"loadbalancer 192.0.2.1 → service shop/web port 80 (http)",
		"loadbalancer 192.0.2.1 → service shop/web port 9090 (metrics)",
		"service shop/web port 80 (http)",
		"service shop/web port 9090 (metrics)",
	}
	if !slices.Equal(titles, want) {
		t.Errorf("the paths are\n%s\nwant\n%s", strings.Join(titles, "\n"), strings.Join(want, "\n"))
	}
}

func TestTargets(t *testing.T) {
	s := newShop(t)
	s.ingress = nil
	s.service.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "web.example.com"}
	checker := s.checker(s.client())
	r, err := checker.Check(t.Context(), serviceTarget)
	if err != nil || len(r.Paths) != 1 || r.State() != Unknown {
		t.Errorf("an ExternalName Service: %v, %s", err, said(r))
	}
	for _, target := range []Target{{KindService, "shop", "nope"}, {KindIngress, "shop", "nope"}} {
		if _, err := checker.Check(t.Context(), target); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), target.String()) {
			t.Errorf("%s: %v", target, err)
		}
	}
	if _, err := checker.Check(t.Context(), Target{KindHTTPRoute, "shop", "nope"}); err == nil || !strings.Contains(err.Error(), "doesn't have the Gateway API") {
		t.Errorf("an HTTPRoute where there are none: %v", err)
	}
}

// What can't be read is unknown, with the right that it takes, and the rest is looked at.
func TestForbidden(t *testing.T) {
	tests := []struct {
		verb, resource, check, want string
	}{
		{"list", "ingressclasses", CheckClass, "its class can't be read without the right to list on ingressclasses.networking.k8s.io in the whole cluster"},
		{"get", "secrets", CheckTLS, "secret shop/web-tls with the certificate for shop.test can't be read without the right to get on secrets in namespace shop"},
		{"get", "services", CheckBackend, "service shop/web can't be read without the right to get on services in namespace shop"},
		{"list", "pods", CheckSelector, "what selector app=web matches can't be read without the right to list on pods in namespace shop"},
		{"list", "endpointslices", CheckEndpoints, "its EndpointSlices can't be read without the right to list on endpointslices.discovery.k8s.io in namespace shop"},
		{"list", "networkpolicies", CheckPolicies, "the NetworkPolicies that may be for its pods can't be read without the right to list on networkpolicies.networking.k8s.io in namespace shop"},
		{"list", "ingresses", CheckHost, "takes shop.test/; what others take can't be read without the right to list on ingresses.networking.k8s.io in namespace shop"},
	}
	for _, tt := range tests {
		t.Run(tt.resource, func(t *testing.T) {
			s := newShop(t)
			client := s.client()
			client.PrependReactor(tt.verb, tt.resource, func(k8stesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: tt.resource}, "", nil)
			})
			r, err := s.checker(client).Check(t.Context(), ingressTarget)
			if err != nil {
				t.Fatal(err)
			}
			hop, _ := find(r, tt.check, false)
			if hop.State != Unknown || hop.Message != tt.want || len(r.Broken()) > 0 || r.State() != Unknown || hop.Hint == "" {
				t.Errorf("the hop is %+v, want %q:\n%s", hop, tt.want, said(r))
			}
		})
	}
	t.Run("events", func(t *testing.T) {
		s := newShop(t)
		s.unready()
		client := s.client()
		client.PrependReactor("list", "events", func(k8stesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", nil)
		})
		r, err := s.checker(client).Check(t.Context(), ingressTarget)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.Broken(), ""); !strings.Contains(got, "its events can't be read without the right to list on events in namespace shop") {
			t.Errorf("it says %s", got)
		}
	})
	t.Run("what leads to a Service", func(t *testing.T) {
		s := newShop(t)
		client := s.client()
		client.PrependReactor("list", "ingresses", func(k8stesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "ingresses"}, "", nil)
		})
		r, err := s.checker(client).Check(t.Context(), serviceTarget)
		if err != nil {
			t.Fatal(err)
		}
		if hop, ok := find(r, CheckFronts, false); !ok || hop.State != Unknown || len(r.Paths) != 1 {
			t.Errorf("it says\n%s", said(r))
		}
	})
}

func TestRuleTakes(t *testing.T) {
	tests := []struct {
		rule rule
		path string
		want bool
	}{
		{rule{path: "/", kind: networkingv1.PathTypePrefix}, "/x?y=/z", true},
		{rule{path: "/shop", kind: networkingv1.PathTypePrefix}, "/shop", true},
		{rule{path: "/shop/", kind: networkingv1.PathTypePrefix}, "/shop/cart", true},
		{rule{path: "/shop", kind: networkingv1.PathTypePrefix}, "/shopping", false},
		{rule{path: "/shop", kind: networkingv1.PathTypeExact}, "/shop?a", true},
		{rule{path: "/shop", kind: networkingv1.PathTypeExact}, "/shop/", false},
		{rule{path: "/api(/|$)(.*)", kind: networkingv1.PathTypeImplementationSpecific}, "/api/v1", true},
		{rule{path: "/api(/|$)(.*)", kind: networkingv1.PathTypeImplementationSpecific}, "/", false},
	}
	for _, tt := range tests {
		if got := tt.rule.takes(tt.path); got != tt.want {
			t.Errorf("%v takes %s: %v", tt.rule, tt.path, got)
		}
	}
}

func TestServerNames(t *testing.T) {
	tls := func(secret string, hosts ...string) networkingv1.IngressTLS {
		return networkingv1.IngressTLS{Hosts: hosts, SecretName: secret}
	}
	tests := []struct {
		name  string
		tls   []networkingv1.IngressTLS
		hosts []string
		want  []string // host secret tls
	}{
		{"plain", nil, []string{"shop.test"}, []string{"shop.test"}},
		{"by its host", []networkingv1.IngressTLS{tls("a", "other.test"), tls("b", "shop.test")}, []string{"shop.test"}, []string{"shop.test b tls"}},
		{"by a wildcard", []networkingv1.IngressTLS{tls("a", "*.test")}, []string{"shop.test", "a.shop.test"}, []string{"shop.test a tls", "a.shop.test"}},
		{"for all hosts", []networkingv1.IngressTLS{tls("a")}, []string{"shop.test", ""}, []string{"shop.test a tls", " a tls"}},
		{"the controller's own", []networkingv1.IngressTLS{tls("", "shop.test")}, []string{"shop.test"}, []string{"shop.test tls"}},
		{"any host", []networkingv1.IngressTLS{tls("a", "a.test", "b.test")}, []string{""}, []string{"a.test a tls", "b.test a tls"}},
		{"any host, plain", nil, []string{"", ""}, []string{""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var rules []rule
			for _, host := range tt.hosts {
				rules = append(rules, rule{host: host, path: "/"})
			}
			var got []string
			for _, n := range serverNames(&networkingv1.Ingress{Spec: networkingv1.IngressSpec{TLS: tt.tls}}, rules) {
				one := n.host
				if n.secret != "" {
					one += " " + n.secret
				}
				if n.tls {
					one += " tls"
				}
				got = append(got, one)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("the names are %q, want %q", got, tt.want)
			}
		})
	}
}
