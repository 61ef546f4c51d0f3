// SPDX-License-Identifier: Apache-2.0

// Package routes tells where a Service leads: what its EndpointSlices say, as against what its selector asks for.
package routes

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
	discoveryclient "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
)

// endpointSliceController is the manager of the EndpointSlices that follow a Service's selector. Others that carry the
// Service's name are somebody's own, and don't.
const endpointSliceController = "endpointslice-controller.k8s.io"

// AwaitTo waits until a Service's EndpointSlices lead to the given pod and to no other. Nodes follow them within
// about a second.
func AwaitTo(ctx context.Context, client discoveryclient.DiscoveryV1Interface, namespace, service, pod string) error {
	err := awaitRoutes(ctx, client, namespace, service, func(slices []*discoveryv1.EndpointSlice) bool {
		return leads(slices, pod) && !leadsElsewhere(slices, pod)
	})
	if err != nil {
		return fmt.Errorf("waiting for service %s/%s to lead to pod %s: %w", namespace, service, pod, err)
	}
	return nil
}

// AwaitFrom waits until a Service's EndpointSlices don't lead to the given pod any more.
func AwaitFrom(ctx context.Context, client discoveryclient.DiscoveryV1Interface, namespace, service, pod string) error {
	err := awaitRoutes(ctx, client, namespace, service, func(slices []*discoveryv1.EndpointSlice) bool {
		return !leads(slices, pod)
	})
	if err != nil {
		return fmt.Errorf("waiting for service %s/%s to leave pod %s: %w", namespace, service, pod, err)
	}
	return nil
}

func awaitRoutes(ctx context.Context, client discoveryclient.DiscoveryV1Interface, namespace, service string, reached func([]*discoveryv1.EndpointSlice) bool) error {
	selector := labels.SelectorFromSet(labels.Set{
		discoveryv1.LabelServiceName: service,
		discoveryv1.LabelManagedBy:   endpointSliceController,
	}).String()
	lw := cache.NewFilteredListWatchFromClient(client.RESTClient(), "endpointslices", namespace,
		func(options *metav1.ListOptions) { options.LabelSelector = selector })
	// One event tells of one slice; the store has them all.
	var all cache.Store
	check := func() bool {
		var slices []*discoveryv1.EndpointSlice
		for _, object := range all.List() {
			if slice, ok := object.(*discoveryv1.EndpointSlice); ok {
				slices = append(slices, slice)
			}
		}
		return reached(slices)
	}
	synced := func(store cache.Store) (bool, error) {
		all = store
		return check(), nil
	}
	_, err := toolswatch.UntilWithSync(ctx, lw, &discoveryv1.EndpointSlice{}, synced,
		func(watch.Event) (bool, error) { return check(), nil })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func leads(slices []*discoveryv1.EndpointSlice, pod string) bool {
	return anyReady(slices, func(name string) bool { return name == pod })
}

func leadsElsewhere(slices []*discoveryv1.EndpointSlice, pod string) bool {
	return anyReady(slices, func(name string) bool { return name != pod })
}

func anyReady(slices []*discoveryv1.EndpointSlice, of func(pod string) bool) bool {
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			// No word about readiness is to be taken as ready, says the API.
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			if ready && endpoint.TargetRef != nil && of(endpoint.TargetRef.Name) {
				return true
			}
		}
	}
	return false
}
