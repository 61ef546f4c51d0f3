// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"
)

// What is said beforehand is what comes to be.
func TestObjectsAreWhatIsCreated(t *testing.T) {
	for _, restores := range []bool{true, false} {
		name := "restores"
		if !restores {
			name = "doesn't restore"
		}
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			withClusterIPs(client, "10.0.0.9")
			if !restores {
				client.PrependReactor("create", "roles", func(clienttesting.Action) (bool, runtime.Object, error) {
					return true, nil, apierrors.NewForbidden(rbacv1.Resource("roles"), "cart-traffic-proxy", errors.New("no"))
				})
			}
			spec := specOf(Port{Protocol: corev1.ProtocolTCP, Container: 80, Service: 80})
			spec.Grace = 30 * time.Second
			if _, err := Create(t.Context(), client, spec); err != nil {
				t.Fatal(err)
			}
			planned, err := Objects(spec, restores)
			if err != nil {
				t.Fatal(err)
			}
			created := 0
			for _, action := range client.Actions() {
				if action.GetVerb() == "create" {
					created++
				}
			}
			if !restores {
				created-- // the Role was refused
			}
			if created != len(planned) {
				t.Errorf("%d objects are planned, and %d created", len(planned), created)
			}
			for _, object := range planned {
				kinds, _, err := scheme.Scheme.ObjectKinds(object)
				if err != nil {
					t.Fatal(err)
				}
				resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
				found, err := client.Tracker().Get(resource, "shop", object.(metav1.Object).GetName())
				if err != nil {
					t.Fatal(err)
				}
				if got, want := written(t, found), written(t, object); got != want {
					t.Errorf("planned:\n%s\ncreated:\n%s", want, got)
				}
			}
		})
	}
}

// written is an object as YAML, without what only the API server knows.
func written(t *testing.T, object runtime.Object) string {
	t.Helper()
	object = object.DeepCopyObject()
	object.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	m := object.(metav1.Object)
	m.SetResourceVersion("")
	m.SetManagedFields(nil)
	owners := m.GetOwnerReferences()
	for i := range owners {
		owners[i].UID = ""
	}
	m.SetOwnerReferences(owners)
	switch o := object.(type) {
	case *appsv1.Deployment:
		args := o.Spec.Template.Spec.Containers[0].Args
		for i := range args {
			if strings.HasPrefix(args[i], "--origin=") {
				args[i] = "--origin="
			}
		}
	case *corev1.Service:
		o.Spec.ClusterIP = ""
	}
	body, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestObjectsDoNotShare(t *testing.T) {
	spec := specOf(Port{Protocol: corev1.ProtocolTCP, Container: 8080, Service: 80})
	first, err := Objects(spec, true)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Objects(spec, true)
	if err != nil {
		t.Fatal(err)
	}
	if !equality.Semantic.DeepEqual(first, second) {
		t.Errorf("first %+v, then %+v", first, second)
	}
	first[1].(*corev1.Service).Spec.Selector["app"] = "orders"
	if spec.Service.Spec.Selector["app"] != "cart" {
		t.Error("a plan's selector is the Service's own")
	}
}

func TestPodLabels(t *testing.T) {
	spec := specOf(Port{Protocol: corev1.ProtocolTCP, Container: 8080, Service: 80})
	d, err := spec.deployment()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := spec.PodLabels(), d.Spec.Template.Labels; !equality.Semantic.DeepEqual(got, want) {
		t.Errorf("PodLabels = %v, want %v", got, want)
	}
}

func TestRehearse(t *testing.T) {
	tests := []struct {
		name     string
		refuse   string // the resource
		err      error
		created  []string
		restores bool
		problem  string
	}{
		{name: "all", created: []string{"deployments", "services", "roles", "serviceaccounts", "rolebindings"}, restores: true},
		{
			name: "no Role", refuse: "roles", err: apierrors.NewForbidden(rbacv1.Resource("roles"), "", errors.New("no")),
			created: []string{"deployments", "services"},
		},
		{
			name: "no ServiceAccount", refuse: "serviceaccounts", err: apierrors.NewForbidden(corev1.Resource("serviceaccounts"), "", errors.New("no")),
			created: []string{"deployments", "services", "roles"},
		},
		{
			name: "binding of what isn't kept", refuse: "rolebindings", err: apierrors.NewNotFound(rbacv1.Resource("roles"), "cart-traffic-proxy"),
			created: []string{"deployments", "services", "roles", "serviceaccounts", "rolebindings"}, restores: true,
		},
		{
			name: "trouble", refuse: "roles", err: apierrors.NewInternalError(errors.New("no")), restores: true,
			created: []string{"deployments", "services", "serviceaccounts", "rolebindings"}, problem: "creating role shop/cart-traffic-proxy: ",
		},
		{
			name: "no Service", refuse: "services", err: apierrors.NewForbidden(corev1.Resource("services"), "", errors.New("no")), restores: true,
			created: []string{"deployments", "roles", "serviceaccounts", "rolebindings"}, problem: "creating service shop/cart-origin: ",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset()
			client.PrependReactor("*", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
				create, ok := action.(clienttesting.CreateActionImpl)
				if !ok || !slices.Equal(create.CreateOptions.DryRun, []string{metav1.DryRunAll}) {
					t.Errorf("it did %s %s", action.GetVerb(), action.GetResource().Resource)
				}
				if action.GetResource().Resource == tt.refuse {
					return true, nil, tt.err
				}
				return true, create.Object, nil
			})
			created, restores, err := Rehearse(t.Context(), client, specOf(Port{Protocol: corev1.ProtocolTCP, Container: 8080, Service: 80}))
			if (err != nil) != (tt.problem != "") || err != nil && !strings.HasPrefix(err.Error(), tt.problem) {
				t.Errorf("Rehearse: %v, want %s", err, tt.problem)
			}
			var got []string
			for _, object := range created {
				kinds, _, err := scheme.Scheme.ObjectKinds(object)
				if err != nil {
					t.Fatal(err)
				}
				resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
				got = append(got, resource.Resource)
			}
			if !slices.Equal(got, tt.created) || restores != tt.restores {
				t.Errorf("created %q, restores = %v; want %q, %v", got, restores, tt.created, tt.restores)
			}
		})
	}
}
