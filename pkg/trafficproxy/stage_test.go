// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// withClusterIPs lets the fake cluster do what a Service needs of a real one.
func withClusterIPs(client *fake.Clientset, ip string) {
	client.PrependReactor("create", "services", func(action clienttesting.Action) (bool, runtime.Object, error) {
		action.(clienttesting.CreateAction).GetObject().(*corev1.Service).Spec.ClusterIP = ip
		return false, nil, nil
	})
}

func TestCreate(t *testing.T) {
	client := fake.NewClientset()
	withClusterIPs(client, "10.0.0.9")
	spec := specOf(Port{Protocol: corev1.ProtocolTCP, Container: 8080, Service: 80})
	if err := Create(t.Context(), client, spec); err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, action := range client.Actions() {
		did = append(did, action.GetVerb()+" "+action.GetResource().Resource)
	}
	if want := []string{"create deployments", "create services", "patch deployments"}; !slices.Equal(did, want) {
		t.Errorf("it did %q, want %q", did, want)
	}
	d, err := client.AppsV1().Deployments("shop").Get(t.Context(), "cart-traffic-proxy", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if args := d.Spec.Template.Spec.Containers[0].Args; d.Spec.Paused || !slices.Contains(args, "--origin=10.0.0.9") {
		t.Errorf("paused = %v, arguments %q", d.Spec.Paused, args)
	}
}

func TestCreateFails(t *testing.T) {
	theirs := func() *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "cart-traffic-proxy", Annotations: map[string]string{OwnerAnnotation: "bob@desk"},
			CreationTimestamp: metav1.NewTime(time.Now().Add(-90 * time.Minute)),
		}}
	}
	t.Run("somebody else's exists", func(t *testing.T) {
		client := fake.NewClientset(theirs())
		err := Create(t.Context(), client, specOf())
		found, ok := errors.AsType[*ExistsError](err)
		if !ok {
			t.Fatalf("Create: %v, want an ExistsError", err)
		}
		if found.Namespace != "shop" || found.Service != "cart" || found.Owner != "bob@desk" || found.Age < 90*time.Minute || found.Age > 91*time.Minute {
			t.Errorf("ExistsError = %+v", found)
		}
		if want := "if that session is dead, run 'kubectl velo restore svc/cart -n shop'"; found.Hint() != want {
			t.Errorf("Hint = %q, want %q", found.Hint(), want)
		}
	})
	t.Run("nobody's exists", func(t *testing.T) {
		d := theirs()
		d.Annotations = nil
		err := Create(t.Context(), fake.NewClientset(d), specOf())
		if err == nil || !strings.Contains(err.Error(), "deployment shop/cart-traffic-proxy exists: somebody began") {
			t.Errorf("Create: %v", err)
		}
	})
	for verb, resource := range map[string]string{"create": "services", "patch": "deployments"} {
		t.Run(verb+" "+resource+" forbidden", func(t *testing.T) {
			client := fake.NewClientset()
			withClusterIPs(client, "10.0.0.9")
			client.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(corev1.Resource(resource), "", errors.New("no"))
			})
			err := Create(t.Context(), client, specOf())
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "shop/cart-") {
				t.Errorf("Create: %v, want a Forbidden that names the object", err)
			}
		})
	}
	for _, ip := range []string{"", "None"} {
		t.Run(fmt.Sprintf("cluster IP %q", ip), func(t *testing.T) {
			client := fake.NewClientset()
			withClusterIPs(client, ip)
			err := Create(t.Context(), client, specOf())
			if err == nil || err.Error() != "service shop/cart-origin was given no cluster IP" {
				t.Errorf("Create: %v", err)
			}
		})
	}
}

// What Delete leaves alone. That it waits for everything to be gone takes a real garbage collector.
func TestDeleteLeaves(t *testing.T) {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "cart-traffic-proxy", Labels: map[string]string{selector.SessionLabel: "theirs"},
	}}
	tests := []struct {
		name    string
		objects []runtime.Object
	}{
		{"none", nil},
		{"another session's", []runtime.Object{deployment}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset(tt.objects...)
			client.PrependReactor("delete", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, errors.New("it must not be deleted")
			})
			if err := Delete(t.Context(), client, "shop", "cart-traffic-proxy", "ours"); err != nil {
				t.Fatal(err)
			}
			for _, action := range client.Actions() {
				if action.GetVerb() != "get" {
					t.Errorf("it did %s %s", action.GetVerb(), action.GetResource().Resource)
				}
			}
		})
	}
}

func TestList(t *testing.T) {
	ours, err := specOf().deployment()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := ours.DeepCopy()
	elsewhere.Namespace = "bank"
	unrelated := ours.DeepCopy()
	unrelated.Name, unrelated.Labels = "cart", maps.Clone(ours.Labels)
	unrelated.Labels[managedByLabel] = "helm"
	client := fake.NewClientset(ours, elsewhere, unrelated)
	got, err := List(t.Context(), client, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if want := []Staged{{Name: "cart-traffic-proxy", Service: "cart", Session: "1a2b3c4d"}}; !slices.Equal(got, want) {
		t.Errorf("List = %v, want %v", got, want)
	}
}
