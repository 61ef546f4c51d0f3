// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/kubernetes"
)

// progress says what a pod waits for, in a few words. Where its status doesn't tell, that is "".
func progress(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return "no node takes the pod yet: " + condition.Message
		}
	}
	for _, container := range pod.Status.ContainerStatuses {
		waiting := container.State.Waiting
		switch {
		case waiting == nil:
		case waiting.Reason == "ContainerCreating":
			// Its image is pulled, or its volumes are mounted; events tell which.
			return strings.TrimSuffix("its container to be created on node "+pod.Spec.NodeName, " on node ")
		default:
			return waiting.Reason
		}
	}
	if pod.Status.Phase == corev1.PodRunning {
		return "its container to be ready"
	}
	return ""
}

// tellEvents tells waiting what the kubelet and the scheduler say about a pod, until ctx ends. That takes the right to
// watch events; without it, nothing is told.
func tellEvents(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod, waiting func(string)) {
	watching, err := client.CoreV1().Events(pod.Namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(pod.UID)).String(),
	})
	if err != nil {
		return
	}
	defer watching.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case next, ok := <-watching.ResultChan():
			if !ok {
				return
			}
			event, isEvent := next.Object.(*corev1.Event)
			if !isEvent || event.InvolvedObject.UID != pod.UID {
				continue
			}
			if said := eventProgress(event); said != "" {
				waiting(said)
			}
		}
	}
}

// eventProgress says what a pod waits for after an event, in a few words, or "" if it can't be told.
func eventProgress(event *corev1.Event) string {
	message := strings.TrimSpace(event.Message)
	switch {
	case event.Reason == "FailedScheduling":
		return "no node takes the pod yet: " + message
	case event.Type == corev1.EventTypeWarning:
		return event.Reason + ": " + message
	case event.Reason == "Pulling":
		return strings.Replace(message, "Pulling image", "pulling image", 1)
	case event.Reason == "Pulled", event.Reason == "Created":
		return "its container to start"
	}
	return ""
}

// lastTold says what a pod waits for after all of its events, or "". Of one that runs already, only warnings tell.
func lastTold(events []corev1.Event, phase corev1.PodPhase) string {
	// A list is in the order of names. Times are of whole seconds, and schedulers and kubelets write them into different fields.
	newestFirst := slices.Clone(events)
	slices.SortStableFunc(newestFirst, func(a, b corev1.Event) int {
		order, _ := resourceversion.CompareResourceVersion(b.ResourceVersion, a.ResourceVersion) // of an API server, they are valid
		return order
	})
	for i := range newestFirst {
		event := &newestFirst[i]
		if phase != corev1.PodPending && event.Type != corev1.EventTypeWarning {
			continue
		}
		if said := eventProgress(event); said != "" {
			return said
		}
	}
	return ""
}
