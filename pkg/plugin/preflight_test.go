// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// allow lets the fake cluster answer whether its user may do something in the namespace shop.
func allow(client *fake.Clientset, may func(authorizationv1.ResourceAttributes) bool) {
	client.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		asked := *review.Spec.ResourceAttributes
		review.Status.Allowed = asked.Namespace == "shop" && may(asked)
		return true, review, nil
	})
}

func everything(authorizationv1.ResourceAttributes) bool { return true }

func sessionIn(client *fake.Clientset, flags ...portFlag) *session {
	return &session{
		cluster: &cluster{client: client, namespace: "shop", flags: " --context prod"},
		options: &interceptOptions{portFlags: flags}, report: newReport(io.Discard), name: "cart",
	}
}

func TestMissing(t *testing.T) {
	wanted := interceptPermissions()
	tests := []struct {
		name string
		may  func(authorizationv1.ResourceAttributes) bool
		want []string
	}{
		{"nothing", everything, nil},
		{"some", func(a authorizationv1.ResourceAttributes) bool {
			return a.Verb != "patch" && a.Subresource != "portforward" && a.Group != "discovery.k8s.io"
		}, []string{
			"patch services", "create pods/portforward", "patch deployments.apps",
			"list endpointslices.discovery.k8s.io", "watch endpointslices.discovery.k8s.io",
		}},
		{"everything", func(authorizationv1.ResourceAttributes) bool { return false }, func() (all []string) {
			for _, p := range wanted {
				all = append(all, p.String())
			}
			return all
		}()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset()
			allow(client, tt.may)
			lacking, err := (&cluster{client: client, namespace: "shop"}).missing(t.Context(), wanted)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range lacking {
				got = append(got, p.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("missing = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPreflightSaysAllThatIsMissing(t *testing.T) {
	client := fake.NewClientset(service("shop", "cart", ""))
	allow(client, func(a authorizationv1.ResourceAttributes) bool { return a.Verb != "patch" })
	err := sessionIn(client).preflight(t.Context())
	want := "you may not intercept Services in namespace shop; you lack the permission to:\n  patch services\n  patch deployments.apps"
	if err == nil || err.Error() != want {
		t.Errorf("preflight: %v, want %s", err, want)
	}
	if hint := hintOf("", err); !strings.Contains(hint, "ClusterRole 'edit'") {
		t.Errorf("the hint is %q", hint)
	}
}

func TestPreflightCantAsk(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "selfsubjectaccessreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewInternalError(errors.New("no"))
	})
	err := sessionIn(client).preflight(t.Context())
	if !apierrors.IsInternalError(err) || !strings.HasPrefix(err.Error(), "asking for permissions in namespace shop: ") {
		t.Errorf("preflight: %v", err)
	}
}

func TestPreflight(t *testing.T) {
	edited := func(edit func(*corev1.Service)) *corev1.Service {
		s := service("shop", "cart", "")
		edit(s)
		return s
	}
	tests := []struct {
		name    string
		service *corev1.Service
		err     string // part of it
		hint    string
	}{
		{name: "suits", service: service("shop", "cart", "")},
		{name: "no such Service", service: service("bank", "cart", ""), err: "reading service shop/cart: "},
		{
			name: "intercepted", service: service("shop", "cart", annotation), err: "service shop/cart is already intercepted by ada@laptop, for ",
			hint: "if that session is dead, run 'kubectl velo restore svc/cart -n shop --context prod'; --take-over ends it and takes its place",
		},
		{
			name: "annotation not understood", service: service("shop", "cart", "{}"), err: "service shop/cart: " + selector.ErrAnnotation.Error(),
			hint: "see 'kubectl get svc cart -n shop -o yaml'",
		},
		{
			name: "intercepted by a newer plugin", service: service("shop", "cart", `{"version":2,"selector":["app=cart"]}`),
			err:  "service shop/cart: " + selector.ErrAnnotation.Error() + ": its version is 2, and this kubectl velo knows version 1",
			hint: "a newer kubectl velo has intercepted it: update this one with 'kubectl krew upgrade velo'",
		},
		{
			name:    "ExternalName",
			service: edited(func(s *corev1.Service) { s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName} }),
			err:     "service shop/cart is of type ExternalName",
		},
		{name: "no selector", service: edited(func(s *corev1.Service) { s.Spec.Selector = nil }), err: "service shop/cart has no selector"},
		{name: "no ports", service: edited(func(s *corev1.Service) { s.Spec.Ports = nil }), err: "service shop/cart has no ports"},
		{
			name: "SCTP", service: edited(func(s *corev1.Service) {
				s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Port: 90, Protocol: corev1.ProtocolSCTP})
			}), err: "port 90 of service shop/cart is SCTP",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset(tt.service)
			allow(client, everything)
			s := sessionIn(client, portFlag{3002, "80"})
			err := s.preflight(t.Context())
			for _, action := range client.Actions() {
				if verb := action.GetVerb(); verb != "get" && verb != "list" && action.GetResource().Resource != "selfsubjectaccessreviews" {
					t.Errorf("it did %s %s", verb, action.GetResource().Resource)
				}
			}
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.err) || hintOf("", err) != tt.hint {
					t.Errorf("preflight: %v, hint %q; want %q, hint %q", err, hintOf("", err), tt.err, tt.hint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(s.ports) != 1 || s.ports[0].local != 3002 || s.ports[0].container != 80 {
				t.Errorf("the ports are %+v", s.ports)
			}
		})
	}
}
