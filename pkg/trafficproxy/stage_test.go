// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
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
	tests := []struct {
		name    string
		refused string // the resource that the user may not create
		did     []string
		args    []string
	}{
		{
			name: "who may grant",
			did: []string{
				"create deployments", "create services", "create roles", "create serviceaccounts", "create rolebindings", "patch deployments",
			},
			args: []string{"--origin=10.0.0.9", "--namespace=shop", "--service=cart", "--deployment=cart-traffic-proxy", "--grace=20s"},
		},
		{
			name: "who may not", refused: "roles",
			did:  []string{"create deployments", "create services", "create roles", "patch deployments"},
			args: []string{"--origin=10.0.0.9"},
		},
		{
			name: "who may create Roles, but not bind them", refused: "rolebindings",
			did: []string{
				"create deployments", "create services", "create roles", "create serviceaccounts", "create rolebindings", "patch deployments",
			},
			args: []string{"--origin=10.0.0.9"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := fake.NewClientset()
			withClusterIPs(client, "10.0.0.9")
			if test.refused != "" {
				client.PrependReactor("create", test.refused, func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, apierrors.NewForbidden(corev1.Resource(test.refused), "", errors.New("no"))
				})
			}
			spec := specOf(Port{Protocol: corev1.ProtocolTCP, Container: 8080, Service: 80})
			spec.Grace = 20 * time.Second
			restores, err := Create(t.Context(), client, spec)
			if err != nil || restores != (test.refused == "") {
				t.Fatalf("Create = %v, %v", restores, err)
			}
			var did []string
			for _, action := range client.Actions() {
				did = append(did, action.GetVerb()+" "+action.GetResource().Resource)
			}
			if !slices.Equal(did, test.did) {
				t.Errorf("it did %q, want %q", did, test.did)
			}
			d, err := client.AppsV1().Deployments("shop").Get(t.Context(), "cart-traffic-proxy", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			pod := d.Spec.Template.Spec
			args := pod.Containers[0].Args
			if added := args[slices.Index(args, "--origin=10.0.0.9"):]; d.Spec.Paused || !slices.Equal(added, test.args) {
				t.Errorf("paused = %v, arguments %q", d.Spec.Paused, args)
			}
			if restores != (pod.ServiceAccountName == "cart-traffic-proxy") || *pod.AutomountServiceAccountToken != restores {
				t.Errorf("ServiceAccount %q, mounted: %v", pod.ServiceAccountName, *pod.AutomountServiceAccountToken)
			}
		})
	}
}

// The Role names one Service and one Deployment, and nothing else.
func TestGrantsAreNarrow(t *testing.T) {
	spec := specOf()
	g, err := spec.grants(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "cart-traffic-proxy", UID: "u"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"services"}, ResourceNames: []string{"cart"}, Verbs: []string{"get", "patch"}},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, ResourceNames: []string{"cart-traffic-proxy"}, Verbs: []string{"delete"}},
	}
	if !reflect.DeepEqual(g.role.Rules, want) {
		t.Errorf("rules %+v", g.role.Rules)
	}
	for _, object := range []metav1.Object{g.account, g.role, g.binding} {
		if owners := object.GetOwnerReferences(); len(owners) != 1 || owners[0].UID != "u" || object.GetNamespace() != "shop" {
			t.Errorf("%s/%s is owned by %v", object.GetNamespace(), object.GetName(), owners)
		}
		if object.GetLabels()["app.kubernetes.io/managed-by"] != "kubectl-velo" || object.GetLabels()[ServiceLabel] != "cart" {
			t.Errorf("%s has labels %v", object.GetName(), object.GetLabels())
		}
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
		_, err := Create(t.Context(), client, specOf())
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
		_, err := Create(t.Context(), fake.NewClientset(d), specOf())
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
			_, err := Create(t.Context(), client, specOf())
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "shop/cart-") {
				t.Errorf("Create: %v, want a Forbidden that names the object", err)
			}
		})
	}
	for _, ip := range []string{"", "None"} {
		t.Run(fmt.Sprintf("cluster IP %q", ip), func(t *testing.T) {
			client := fake.NewClientset()
			withClusterIPs(client, ip)
			_, err := Create(t.Context(), client, specOf())
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
