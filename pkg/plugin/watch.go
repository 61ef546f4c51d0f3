// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

// watch pokes the session whenever the Service, the Deployment or its pods change, until ctx ends.
func (s *session) watch(ctx context.Context, goroutines *sync.WaitGroup) {
	core, apps := s.client.CoreV1().RESTClient(), s.client.AppsV1().RESTClient()
	named := func(name string) func(*metav1.ListOptions) {
		return func(options *metav1.ListOptions) {
			options.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
		}
	}
	labelled := func(options *metav1.ListOptions) {
		options.LabelSelector = labels.SelectorFromSet(s.spec.Selector()).String()
	}
	for _, w := range []struct {
		client   cache.Getter
		resource string
		object   runtime.Object
		which    func(*metav1.ListOptions)
	}{
		{core, "services", &corev1.Service{}, named(s.name)},
		{apps, "deployments", &appsv1.Deployment{}, named(trafficproxy.DeploymentName(s.name))},
		{core, "pods", &corev1.Pod{}, labelled},
	} {
		_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
			ListerWatcher: cache.NewFilteredListWatchFromClient(w.client, w.resource, s.namespace, w.which),
			ObjectType:    w.object,
			Handler: cache.ResourceEventHandlerFuncs{
				AddFunc:    func(any) { s.poke() },
				UpdateFunc: func(_, _ any) { s.poke() },
				DeleteFunc: func(any) { s.poke() },
			},
		})
		goroutines.Go(func() { informer.RunWithContext(ctx) })
	}
}
