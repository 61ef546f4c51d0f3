// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// cartPod is a pod that the Service cart selects.
func cartPod(edits ...func(*corev1.Pod)) *corev1.Pod {
	pod := podOf(time.Hour, corev1.ContainerPort{Name: "web", ContainerPort: 80, Protocol: corev1.ProtocolTCP})
	pod.Namespace, pod.Name, pod.Labels = "shop", "cart-0", map[string]string{"app": "cart"}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	for _, edit := range edits {
		edit(&pod)
	}
	return &pod
}

// warned is what preflight warns of.
func warned(t *testing.T, options interceptOptions, objects ...runtime.Object) []string {
	t.Helper()
	client := fake.NewClientset(objects...)
	allow(client, everything)
	var said bytes.Buffer
	s := sessionIn(client)
	s.id, s.options, s.report = "1a2b3c4d", &options, newReport(&said)
	if err := s.preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(said.String()) {
		all = append(all, strings.TrimSuffix(line, "\n"))
	}
	return all
}

func TestWarnings(t *testing.T) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	cluster := corev1.ServiceInternalTrafficPolicyCluster
	manager := func(name, fields string) func(*corev1.Service) {
		return func(s *corev1.Service) {
			s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: name, FieldsV1: metav1.NewFieldsV1(fields)}}
		}
	}
	const ownsIt, ownsAnother = `{"f:spec":{"f:selector":{},"f:ports":{}}}`, `{"f:metadata":{"f:labels":{"f:x":{}}},"f:spec":{"f:type":{}}}`
	byGit := func(owner string) []string {
		return []string{"⚠ service/cart is kept in line by " + owner + ": should that set the selector back, the session pauses, unless it was started with --reassert"}
	}
	const headless = "⚠ service/cart is headless: callers that are connected to its pods, or remember their addresses, stay with them until they ask for its name again"
	const lacking = "⚠ service/cart has no pod that is ready: connections that your process doesn't take fail, and all do again when the intercept ends"
	notReady := func(p *corev1.Pod) { p.Status.Conditions = nil }
	going := func(p *corev1.Pod) {
		p.DeletionTimestamp, p.Finalizers = &metav1.Time{Time: time.Now()}, []string{"example.com/kept"}
	}
	tests := []struct {
		name    string
		edit    func(*corev1.Service)
		pod     func(*corev1.Pod)
		options interceptOptions
		want    []string
	}{
		{name: "nothing"},
		{
			name: "no pod", pod: func(p *corev1.Pod) { p.Labels = nil },
			want: []string{"⚠ service/cart has no pods: connections that your process doesn't take fail, and all do again when the intercept ends"},
		},
		{name: "no ready pod", pod: notReady, want: []string{lacking}},
		{name: "a pod that goes", pod: going, want: []string{lacking}},
		{name: "a pod that isn't ready and is led to", edit: func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = true }, pod: notReady},
		{name: "headless", edit: func(s *corev1.Service) { s.Spec.ClusterIP = "None" }, want: []string{headless}},
		{
			name: "headless, of a StatefulSet", edit: func(s *corev1.Service) { s.Spec.ClusterIP = "None" },
			pod: func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "cart-0", "cart" },
			want: []string{
				headless, "⚠ service/cart is headless: names of single pods, such as cart-0.cart, vanish while it is intercepted",
			},
		},
		{
			name: "headless, with names below another Service", edit: func(s *corev1.Service) { s.Spec.ClusterIP = "None" },
			pod:  func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "cart-0", "cart-peers" },
			want: []string{headless},
		},
		{
			name: "names of a Service that isn't headless", edit: func(s *corev1.Service) { s.Spec.ClusterIP = "10.0.0.1" },
			pod: func(p *corev1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "cart-0", "cart" },
		},
		{
			name: "affinity", edit: func(s *corev1.Service) { s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP },
			want: []string{"⚠ service/cart has sessionAffinity ClientIP: connected callers stay with their pods until they reconnect, and those that are passed on to pods are not kept to one each"},
		},
		{
			name: "both policies Local", edit: func(s *corev1.Service) {
				s.Spec.ExternalTrafficPolicy, s.Spec.InternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal, &local
			},
			want: []string{
				"⚠ service/cart has externalTrafficPolicy Local: while it is intercepted, only the traffic-proxy's node takes callers from outside",
				"⚠ service/cart has internalTrafficPolicy Local: while it is intercepted, callers on other nodes than the traffic-proxy's get no answer",
			},
		},
		{name: "no policy Local", edit: func(s *corev1.Service) {
			s.Spec.ExternalTrafficPolicy, s.Spec.InternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster, &cluster
			s.Spec.SessionAffinity = corev1.ServiceAffinityNone
		}},
		{
			name: "Argo CD's annotation", edit: func(s *corev1.Service) {
				s.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "checkout:/Service:shop/cart"}
			}, want: byGit("Argo CD's application checkout"),
		},
		{
			name: "Argo CD's label", edit: func(s *corev1.Service) { s.Labels = map[string]string{"argocd.argoproj.io/instance": "checkout"} },
			want: byGit("Argo CD's application checkout"),
		},
		{
			name: "managed by Argo CD", edit: func(s *corev1.Service) { s.Labels = map[string]string{"app.kubernetes.io/managed-by": "ArgoCD"} },
			want: byGit("Argo CD"),
		},
		{name: "managed by Helm", edit: func(s *corev1.Service) {
			s.Labels = map[string]string{"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "checkout"}
		}},
		{
			name: "Flux's Kustomization", edit: func(s *corev1.Service) { s.Labels = map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"} },
			want: byGit("Flux's Kustomization apps"),
		},
		{
			name: "Flux's HelmRelease", edit: func(s *corev1.Service) { s.Labels = map[string]string{"helm.toolkit.fluxcd.io/name": "checkout"} },
			want: byGit("Flux's HelmRelease checkout"),
		},
		{name: "Argo CD's manager", edit: manager("argocd-controller", ownsIt), want: byGit("Argo CD")},
		{name: "Argo CD's other manager", edit: manager("argocd-application-controller", ownsIt), want: byGit("Argo CD")},
		{name: "Flux's manager", edit: manager("kustomize-controller", ownsIt), want: byGit("Flux")},
		{name: "Flux's manager of Helm", edit: manager("helm-controller", ownsIt), want: byGit("Flux")},
		{name: "Flux's manager of another field", edit: manager("kustomize-controller", ownsAnother)},
		{name: "a person", edit: manager("kubectl-client-side-apply", ownsIt)},
		{name: "fields that can't be read", edit: manager("kustomize-controller", "[")},
		{name: "no fields", edit: func(s *corev1.Service) {
			s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kustomize-controller"}}
		}},
		{
			name: "reasserting", edit: manager("kustomize-controller", ownsIt), options: interceptOptions{reassert: true},
			want: []string{"⚠ service/cart is kept in line by Flux: should that set the selector back, it is intercepted again, for --reassert says so"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, pod := service("shop", "cart", ""), cartPod()
			if tt.edit != nil {
				tt.edit(s)
			}
			if tt.pod != nil {
				tt.pod(pod)
			}
			if got := warned(t, tt.options, s, pod); !slices.Equal(got, tt.want) {
				t.Errorf("it warned of\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

// A user is reminded of other intercepts of theirs, and not of anybody else's.
func TestOwnWarnings(t *testing.T) {
	client := fake.NewClientset(service("shop", "orders", annotation), service("shop", "cart", ""), service("bank", "ledger", annotation))
	for owner, want := range map[string]int{"ada@laptop": 1, "bob@desk": 0} {
		s := sessionIn(client)
		s.owner = owner
		got := s.ownWarnings(t.Context())
		if len(got) != want {
			t.Fatalf("%s is warned of %q", owner, got)
		}
		if want == 1 && (!strings.HasPrefix(got[0], "service/orders is intercepted by you, too") ||
			!strings.Contains(got[0], "'kubectl velo restore svc/orders -n shop --context prod'")) {
			t.Errorf("%s is warned of %q", owner, got)
		}
	}
}

func TestWarningsOnlyOnce(t *testing.T) {
	cart := service("shop", "cart", "")
	cart.Spec.ClusterIP = "None"
	client := fake.NewClientset(cart, cartPod())
	allow(client, everything)
	var said bytes.Buffer
	s := sessionIn(client)
	s.report = newReport(&said)
	for range 2 {
		if err := s.preflight(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.spec = s.proxySpec() // as when a session comes back
	}
	if count := strings.Count(said.String(), "\n"); count != 1 {
		t.Errorf("it said %q", said.String())
	}
}

func TestNoWarningBeforeRefusal(t *testing.T) {
	cart := service("shop", "cart", "")
	cart.Spec.ClusterIP = "None"
	client := fake.NewClientset(cart)
	allow(client, everything)
	var said bytes.Buffer
	s := sessionIn(client, portFlag{3002, "81"})
	s.report = newReport(&said)
	if err := s.preflight(t.Context()); err == nil || said.Len() > 0 {
		t.Errorf("preflight: %v, and it said %q", err, said.String())
	}
}

func TestPoliciesNeedNotBeReadable(t *testing.T) {
	client := fake.NewClientset(service("shop", "cart", ""), cartPod())
	allow(client, func(a authorizationv1.ResourceAttributes) bool { return a.Group != networkingv1.GroupName })
	client.PrependReactor("list", "networkpolicies", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(networkingv1.Resource("networkpolicies"), "", errors.New("no"))
	})
	var said bytes.Buffer
	s := sessionIn(client)
	s.report = newReport(&said)
	if err := s.preflight(t.Context()); err != nil || said.Len() > 0 {
		t.Errorf("preflight: %v, and it said %q", err, said.String())
	}
}
