// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubectl/pkg/cmd/util/podcmd"
	"k8s.io/kubectl/pkg/util/fieldpath"
	"k8s.io/kubectl/pkg/util/resource"
)

// defaultServiceAccount is the one of every pod that names none.
const defaultServiceAccount = "default"

// FieldValue returns what a fieldRef to a path gives. What a pod doesn't have before it runs is empty.
func FieldValue(pod *corev1.Pod, path string) (string, error) {
	switch path {
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return cmp.Or(pod.Spec.ServiceAccountName, defaultServiceAccount), nil
	case "status.hostIP":
		return pod.Status.HostIP, nil
	case "status.hostIPs":
		ips := make([]string, len(pod.Status.HostIPs))
		for i, host := range pod.Status.HostIPs {
			ips[i] = host.IP
		}
		return strings.Join(ips, ","), nil
	case "status.podIP":
		return pod.Status.PodIP, nil
	case "status.podIPs":
		ips := make([]string, len(pod.Status.PodIPs))
		for i, own := range pod.Status.PodIPs {
			ips[i] = own.IP
		}
		return strings.Join(ips, ","), nil
	default:
		return fieldpath.ExtractFieldPathAsString(pod, path)
	}
}

// ResourceValue returns what a resourceFieldRef gives to a container: the named container's limit or request, in units
// of the divisor, rounded up. As with the kubelet, a limit that isn't set is the pod's, and if that isn't set either,
// what the node can give. The error wraps [ErrUnknown] if there is no node yet, and is the API's if it can't be read.
func (o *Objects) ResourceValue(
	ctx context.Context, pod *corev1.Pod, container *corev1.Container, ref *corev1.ResourceFieldSelector,
) (string, error) {
	if ref.ContainerName != "" {
		named, _ := podcmd.FindContainerByName(pod, ref.ContainerName)
		if named == nil {
			return "", unknownContainer(pod, ref.ContainerName)
		}
		container = named
	}
	container = container.DeepCopy()
	defaultRequests(&container.Resources)
	if name, ok := strings.CutPrefix(ref.Resource, "limits."); ok {
		if err := o.defaultLimit(ctx, pod, &container.Resources, corev1.ResourceName(name)); err != nil {
			return "", err
		}
	}
	return resource.ExtractContainerResourceValue(ref, container)
}

// defaultRequests does what the API server does when a pod is created, and hasn't done yet to a pod template: what has
// a limit and no request, requests the limit.
func defaultRequests(resources *corev1.ResourceRequirements) {
	for name, limit := range resources.Limits {
		if _, ok := resources.Requests[name]; ok {
			continue
		}
		if resources.Requests == nil {
			resources.Requests = corev1.ResourceList{}
		}
		resources.Requests[name] = limit
	}
}

// defaultLimit sets a limit that isn't set to what the container is limited by in fact. Huge pages are never
// overcommitted, so there a container without a limit has none.
func (o *Objects) defaultLimit(
	ctx context.Context, pod *corev1.Pod, resources *corev1.ResourceRequirements, name corev1.ResourceName,
) error {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
	default:
		return nil
	}
	if limit := resources.Limits[name]; !limit.IsZero() {
		return nil
	}
	if resources.Limits == nil {
		resources.Limits = corev1.ResourceList{}
	}
	if pod.Spec.Resources != nil && name != corev1.ResourceEphemeralStorage { // pods have no limit of storage
		if limit := pod.Spec.Resources.Limits[name]; !limit.IsZero() {
			resources.Limits[name] = limit
			return nil
		}
	}
	if pod.Spec.NodeName == "" {
		return fmt.Errorf("no limit of %s is set, and what the node can give is %w", name, ErrUnknown)
	}
	node, err := o.nodes.read(ctx, pod.Spec.NodeName)
	if err != nil {
		return err
	}
	resources.Limits[name] = node.Status.Allocatable[name]
	return nil
}
