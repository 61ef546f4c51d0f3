// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

// errRefused is what the fake cluster answers a deletion with: waiting for one to come true takes a real cluster.
var errRefused = errors.New("refused for the test")

func proxyOf(service string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: trafficproxy.DeploymentName(service),
		Labels: map[string]string{
			"app.kubernetes.io/name": "traffic-proxy", "app.kubernetes.io/managed-by": "kubectl-velo",
			trafficproxy.ServiceLabel: service, selector.SessionLabel: "1a2b3c4d",
		},
	}}
}

func TestRestoreCommand(t *testing.T) {
	edited := service("shop", "cart", annotation)
	edited.Spec.Selector = map[string]string{"app": "new"}
	tests := []struct {
		name     string
		objects  []runtime.Object
		services []string
		all      bool
		said     string
		deletes  []string
		err      string // part of it
	}{
		{
			name: "intercepted", objects: []runtime.Object{service("shop", "cart", annotation)}, services: []string{"cart"},
			said: "✔ service/cart restored: it was intercepted by ada@laptop\n",
		},
		{
			name: "not intercepted", objects: []runtime.Object{service("shop", "cart", "")}, services: []string{"cart"},
			said: "✔ service/cart is not intercepted\n",
		},
		{
			name: "edited", objects: []runtime.Object{edited}, services: []string{"cart"},
			said: "⚠ service/cart was given another selector by somebody; that is left as it is\n",
		},
		{
			name: "with its proxy, and no other's", services: []string{"cart"},
			objects: []runtime.Object{service("shop", "cart", annotation), proxyOf("cart"), proxyOf("orders")},
			said:    "✔ service/cart restored: it was intercepted by ada@laptop\n◎ removing deployment/cart-traffic-proxy\n",
			deletes: []string{"cart-traffic-proxy"}, err: "deleting deployment shop/cart-traffic-proxy: ",
		},
		{
			name: "no such Service", services: []string{"cart"},
			err: "restoring service shop/cart: ",
		},
		{
			name: "the Service is gone, its proxy isn't", services: []string{"cart"}, objects: []runtime.Object{proxyOf("cart")},
			said:    "⚠ service/cart doesn't exist any more; there is nothing to restore\n◎ removing deployment/cart-traffic-proxy\n",
			deletes: []string{"cart-traffic-proxy"}, err: "deleting deployment shop/cart-traffic-proxy: ",
		},
		{
			name: "one fails, the other doesn't", services: []string{"nope", "cart"}, objects: []runtime.Object{service("shop", "cart", annotation)},
			said: "✔ service/cart restored: it was intercepted by ada@laptop\n", err: "restoring service shop/nope: ",
		},
		{
			name: "all", all: true,
			objects: []runtime.Object{
				service("shop", "cart", annotation), service("shop", "orders", ""), service("bank", "ledger", annotation), proxyOf("orders"),
			},
			said: "✔ service/cart restored: it was intercepted by ada@laptop\n" +
				"✔ service/orders is not intercepted\n◎ removing deployment/orders-traffic-proxy\n",
			deletes: []string{"orders-traffic-proxy"}, err: "deleting deployment shop/orders-traffic-proxy: ",
		},
		{
			name: "all of none", all: true, objects: []runtime.Object{service("shop", "cart", "")},
			said: "✔ nothing to restore in namespace shop\n",
		},
		{
			name: "all, one of which can't be understood", all: true,
			objects: []runtime.Object{service("shop", "cart", annotation), service("shop", "broken", "{}")},
			said:    "✔ service/cart restored: it was intercepted by ada@laptop\n", err: "service shop/broken: " + selector.ErrAnnotation.Error(),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset(tt.objects...)
			var deletes []string
			client.PrependReactor("delete", "deployments", func(action clienttesting.Action) (bool, runtime.Object, error) {
				deletes = append(deletes, action.(clienttesting.DeleteAction).GetName())
				return true, nil, errRefused
			})
			streams, _, out, errOut := genericiooptions.NewTestIOStreams()
			o := &restoreOptions{
				all: tt.all, services: tt.services, streams: streams, cluster: &cluster{client: client, namespace: "shop"},
			}
			err := o.run(t.Context())
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) {
				t.Errorf("run: %v, want %q", err, tt.err)
			}
			if errOut.String() != tt.said || out.Len() > 0 {
				t.Errorf("stderr is\n%s\nwant\n%s\nstdout is %q", errOut, tt.said, out)
			}
			if !slices.Equal(deletes, tt.deletes) {
				t.Errorf("deleted are %q, want %q", deletes, tt.deletes)
			}
		})
	}
}

// The selector comes first: that deployments can't be listed or deleted must not keep callers from their pods.
func TestRestoreWithoutDeployments(t *testing.T) {
	client := fake.NewClientset(service("shop", "cart", annotation))
	client.PrependReactor("list", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(appsv1.Resource("deployments"), "", errors.New("no"))
	})
	streams, _, _, errOut := genericiooptions.NewTestIOStreams()
	o := &restoreOptions{services: []string{"cart"}, streams: streams, cluster: &cluster{client: client, namespace: "shop"}}
	if err := o.run(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("run: %v, want Forbidden", err)
	}
	if want := "✔ service/cart restored: it was intercepted by ada@laptop\n"; errOut.String() != want {
		t.Errorf("stderr is %q, want %q", errOut, want)
	}
	s, err := client.CoreV1().Services("shop").Get(t.Context(), "cart", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(s.Spec.Selector, map[string]string{"app": "cart"}) {
		t.Errorf("the selector is %v", s.Spec.Selector)
	}
}
