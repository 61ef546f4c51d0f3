// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// Target is a set of pods.
type Target struct {
	// Name is what it is called, for people: service/web.
	Name string
	// Find returns the pods as they are now. None is no error.
	Find func(ctx context.Context) ([]corev1.Pod, error)
	// Unready is whether pods count that run without being ready, as one does that was asked for by its name.
	Unready bool
}

// takes reports whether a pod takes new callers.
func (t *Target) takes(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning && (t.Unready || isReady(pod))
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// lack says why none of the pods takes callers.
func (t *Target) lack(pods []corev1.Pod) string {
	if len(pods) == 0 {
		return "it has no pods"
	}
	pod := &pods[0]
	about := fmt.Sprintf("pod %s is %s", pod.Name, state(pod))
	if len(pods) == 1 {
		return about
	}
	return fmt.Sprintf("none of %d pods is ready: %s", len(pods), about)
}

// state is what a pod that takes no callers is instead, in the words of its containers where they have some.
func state(pod *corev1.Pod) string {
	if pod.DeletionTimestamp != nil {
		return "going"
	}
	for _, containers := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range containers {
			waiting := containers[i].State.Waiting
			if waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing" {
				return waiting.Reason
			}
		}
	}
	if pod.Status.Phase == corev1.PodRunning {
		return "not ready"
	}
	return string(pod.Status.Phase)
}
