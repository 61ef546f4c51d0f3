// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// API is the part of a core/v1 client that an environment is read with.
type API interface {
	corev1client.ConfigMapsGetter
	corev1client.SecretsGetter
	corev1client.ServicesGetter
	corev1client.NodesGetter
}

// Objects reads the objects that the pods of a namespace refer to, each of them once: what it has read, or why it
// couldn't, is what it answers from then on. Use it for one look at the cluster, and by one goroutine.
type Objects struct {
	configMaps *reads[*corev1.ConfigMap]
	secrets    *reads[*corev1.Secret]
	nodes      *reads[*corev1.Node]
	masters    *reads[*corev1.Service]
	services   *reads[*corev1.ServiceList]
}

// NewObjects returns the objects of a namespace, none of them read yet.
func NewObjects(api API, namespace string) *Objects {
	return &Objects{
		configMaps: newReads(api.ConfigMaps(namespace).Get),
		secrets:    newReads(api.Secrets(namespace).Get),
		nodes:      newReads(api.Nodes().Get),
		masters:    newReads(api.Services(metav1.NamespaceDefault).Get),
		services: newReads(func(ctx context.Context, _ string, _ metav1.GetOptions) (*corev1.ServiceList, error) {
			return api.Services(namespace).List(ctx, metav1.ListOptions{})
		}),
	}
}

// ConfigMap returns the ConfigMap of a name, or the API's error.
func (o *Objects) ConfigMap(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	return o.configMaps.read(ctx, name)
}

// Secret returns the Secret of a name, or the API's error.
func (o *Objects) Secret(ctx context.Context, name string) (*corev1.Secret, error) {
	return o.secrets.read(ctx, name)
}

// Services returns all Services of the namespace, or the API's error.
func (o *Objects) Services(ctx context.Context) ([]corev1.Service, error) {
	list, err := o.services.read(ctx, "")
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// reads gets each object of a kind once.
type reads[T any] struct {
	get   func(context.Context, string, metav1.GetOptions) (T, error)
	known map[string]answer[T]
}

type answer[T any] struct {
	object T
	err    error
}

func newReads[T any](get func(context.Context, string, metav1.GetOptions) (T, error)) *reads[T] {
	return &reads[T]{get: get, known: map[string]answer[T]{}}
}

func (r *reads[T]) read(ctx context.Context, name string) (T, error) {
	known, ok := r.known[name]
	if !ok {
		known.object, known.err = r.get(ctx, name, metav1.GetOptions{})
		r.known[name] = known
	}
	return known.object, known.err
}
