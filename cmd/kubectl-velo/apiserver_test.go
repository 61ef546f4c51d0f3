// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// startAPIServer starts an API server that knows a few objects of the namespace default, and returns its URL.
func startAPIServer(t *testing.T) string {
	t.Helper()
	const namespaced = "/api/v1/namespaces/default/"
	pod := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "default", UID: "u-1", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP},
			{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
		}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
			{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}},
		}},
	}
	service := func(name string, selector map[string]string, ports ...corev1.ServicePort) *corev1.Service {
		return &corev1.Service{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.0.0.1", Selector: selector, Ports: ports},
		}
	}
	http80 := corev1.ServicePort{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("http")}
	resource := func(plural, singular, kind, short string) metav1.APIResource {
		return metav1.APIResource{
			Name: plural, SingularName: singular, Namespaced: true, Kind: kind, ShortNames: []string{short}, Verbs: metav1.Verbs{"get", "list"},
		}
	}
	objects := map[string]runtime.Object{
		"/api":  &metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}},
		"/apis": &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}},
		"/api/v1": &metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "v1",
			APIResources: []metav1.APIResource{resource("pods", "pod", "Pod", "po"), resource("services", "service", "Service", "svc")},
		},
		namespaced + "pods/web-1": pod,
		namespaced + "services/web": service("web", pod.Labels, http80,
			corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(53)}),
		namespaced + "services/empty": service("empty", map[string]string{"app": "empty"}, http80),
		namespaced + "services/bare":  service("bare", nil, http80),
	}
	services := &corev1.ServiceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceList"}}
	for _, name := range []string{"bare", "empty", "web"} {
		services.Items = append(services.Items, *objects[namespaced+"services/"+name].(*corev1.Service))
	}
	objects[namespaced+"services"] = services
	objects["/api/v1/namespaces"] = &corev1.NamespaceList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"},
		Items:    []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, {ObjectMeta: metav1.ObjectMeta{Name: "shop"}}},
	}
	objects["/api/v1/namespaces/default"] = &corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: "default"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		object := objects[r.URL.Path]
		if r.URL.Path == namespaced+"pods" {
			list := &corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
			if r.URL.Query().Get("labelSelector") == "app=web" {
				list.Items = []corev1.Pod{*pod}
			}
			object = list
		}
		w.Header().Set("Content-Type", "application/json")
		if object == nil {
			w.WriteHeader(http.StatusNotFound)
			of, name := path.Split(r.URL.Path)
			status := apierrors.NewNotFound(schema.GroupResource{Resource: path.Base(of)}, name).ErrStatus
			status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
			object = &status
		}
		_ = json.NewEncoder(w).Encode(object)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
