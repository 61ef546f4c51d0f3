// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/kubectl/pkg/util/podutils"
)

// ready looks whether the Service's pods are, and reports whether it may lead to any of them.
func (b *backend) ready(ctx context.Context, w *walk) bool {
	if len(b.service.Spec.Selector) == 0 {
		return true
	}
	hop := b.hop(CheckReadiness)
	if b.podsErr != nil {
		b.add(unread(b.object(), CheckReadiness, "whether its pods are ready", b.podsErr, right{"list", "pods", b.key.namespace}))
		return true
	}
	// Ready pods first, and then by name: what is said of one of them is said of the same one again.
	slices.SortStableFunc(b.pods, func(x, y corev1.Pod) int {
		return cmp.Or(cmp.Compare(unreadiness(&x), unreadiness(&y)), cmp.Compare(x.Name, y.Name))
	})
	readyPods := 0
	for i := range b.pods {
		if isReady(&b.pods[i]) {
			readyPods++
		}
	}
	if readyPods == len(b.pods) {
		hop.Message = counted(readyPods, "ready pod")
		b.add(hop)
		return true
	}
	worst := &b.pods[len(b.pods)-1]
	reason, hint := w.unreadyBecause(ctx, worst)
	hop.Object = podObject(worst)
	hop.Hint = hint
	switch {
	case readyPods > 0:
		hop.State = Warning
		hop.Message = fmt.Sprintf("only %d of %s is ready: %s", readyPods, counted(len(b.pods), "pod"), reason)
	case b.service.Spec.PublishNotReadyAddresses:
		hop.State = Warning
		hop.Message = fmt.Sprintf("no pod is ready, but the Service leads to them all the same: %s", reason)
	default:
		hop.State = Broken
		hop.Message = fmt.Sprintf("no pod is ready: %s", reason)
	}
	b.add(hop)
	return hop.State != Broken
}

func isReady(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && podutils.IsPodReady(pod)
}

// unreadiness orders pods: those that are ready, those that are to be, and those that go.
func unreadiness(pod *corev1.Pod) int {
	switch {
	case isReady(pod):
		return 0
	case pod.DeletionTimestamp != nil:
		return 1
	}
	return 2
}

// unreadyBecause is why a pod isn't ready: what the scheduler or the kubelet says of it, or its last event of a failure.
func (w *walk) unreadyBecause(ctx context.Context, pod *corev1.Pod) (reason, hint string) {
	title := podObject(pod).String()
	hint = "see '" + podObject(pod).kubectl("describe") + "'"
	if pod.DeletionTimestamp != nil {
		return title + " is being deleted", hint
	}
	if c := condition(pod, corev1.PodScheduled); c.Status == corev1.ConditionFalse {
		return fmt.Sprintf("%s is on no node: %s", title, c.Message), hint
	}
	if reason, logs := stopped(pod); reason != "" {
		return reason, cmp.Or(logs, hint)
	}
	if failure := w.lastFailure(ctx, pod); failure != "" {
		return title + ": " + failure, hint
	}
	for _, gate := range pod.Spec.ReadinessGates {
		if condition(pod, gate.ConditionType).Status != corev1.ConditionTrue {
			return fmt.Sprintf("%s waits for its readiness gate %s", title, gate.ConditionType), hint
		}
	}
	if c := condition(pod, corev1.PodReady); c.Message != "" {
		return title + ": " + c.Message, hint
	}
	return title + " is " + strings.ToLower(string(cmp.Or(pod.Status.Phase, corev1.PodPending))), hint
}

// condition is one of a pod's, empty if it has none of that type.
func condition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// stopped says which container of a pod doesn't run, and why, if the kubelet says so. If it has run, logs is where to look.
func stopped(pod *corev1.Pod) (reason, logs string) {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		title := "container " + status.Name + " of " + podObject(pod).String()
		logs := fmt.Sprintf("kubectl logs %s -c %s -n %s", pod.Name, status.Name, pod.Namespace)
		waiting, ended := status.State.Waiting, status.State.Terminated
		switch {
		case waiting != nil && waiting.Reason == "CrashLoopBackOff":
			return title + " ends again and again" + howEnded(status.LastTerminationState.Terminated), "see '" + logs + " --previous'"
		case waiting != nil && waiting.Message != "":
			return fmt.Sprintf("%s waits: %s: %s", title, waiting.Reason, waiting.Message), ""
		case ended != nil && ended.ExitCode != 0:
			return title + " has ended" + howEnded(ended), "see '" + logs + "'"
		}
	}
	return "", ""
}

func howEnded(ended *corev1.ContainerStateTerminated) string {
	if ended == nil {
		return ""
	}
	return fmt.Sprintf(", with exit code %d (%s)", ended.ExitCode, ended.Reason)
}

// lastFailure is the last event that warns of something about a pod, such as its readiness probe's.
func (w *walk) lastFailure(ctx context.Context, pod *corev1.Pod) string {
	list, err := w.client.CoreV1().Events(pod.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: fields.Set{
			"involvedObject.name": pod.Name, "involvedObject.uid": string(pod.UID), "type": corev1.EventTypeWarning,
		}.String(),
	})
	switch {
	case apierrors.IsForbidden(err):
		return "its events can't be read without the right to " + right{"list", "events", pod.Namespace}.String()
	case err != nil:
		return ""
	}
	var last *corev1.Event
	for i := range list.Items {
		event := &list.Items[i]
		// Not every server, nor every stand-in for one, selects by all fields.
		if event.Type != corev1.EventTypeWarning || event.InvolvedObject.Name != pod.Name {
			continue
		}
		if last == nil || seen(event).After(seen(last).Time) {
			last = event
		}
	}
	if last == nil {
		return ""
	}
	message, _, _ := strings.Cut(strings.TrimSpace(last.Message), "\n")
	return message
}

// seen is when an event happened last. Which field says so depends on who reported it.
func seen(event *corev1.Event) metav1.Time {
	switch {
	case event.Series != nil:
		return metav1.Time{Time: event.Series.LastObservedTime.Time}
	case !event.LastTimestamp.IsZero():
		return event.LastTimestamp
	case !event.EventTime.IsZero():
		return metav1.Time{Time: event.EventTime.Time}
	}
	return event.CreationTimestamp
}
