// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestProgress(t *testing.T) {
	unscheduled := corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available"},
	}}
	scheduled := waitingFor("ContainerCreating", "")
	scheduled.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}}
	tests := []struct {
		name   string
		node   string
		status corev1.PodStatus
		want   string
	}{
		{"nothing known", "", corev1.PodStatus{}, ""},
		{"pending", "", corev1.PodStatus{Phase: corev1.PodPending}, ""},
		{"no node", "", unscheduled, "no node takes the pod yet: 0/3 nodes are available"},
		{"being created", "worker-1", scheduled, "its container to be created on node worker-1"},
		{"being created somewhere", "", scheduled, "its container to be created"},
		{"something else", "", waitingFor("PodInitializing", ""), "PodInitializing"},
		{"running", "", corev1.PodStatus{Phase: corev1.PodRunning}, "its container to be ready"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pod := podWith(tt.status)
			pod.Spec.NodeName = tt.node
			if got := progress(pod); got != tt.want {
				t.Errorf("progress = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEventProgress(t *testing.T) {
	tests := []struct{ name, typ, reason, message, want string }{
		{"pulling", "Normal", "Pulling", `Pulling image "ghcr.io/x:1"`, `pulling image "ghcr.io/x:1"`},
		{"pulled", "Normal", "Pulled", `Successfully pulled image "x" in 3s`, "its container to start"},
		{"scheduled", "Normal", "Scheduled", "Successfully assigned shop/x to worker-1", ""},
		{
			"unschedulable", "Warning", "FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.",
			"no node takes the pod yet: 0/1 nodes are available: 1 Insufficient cpu.",
		},
		{"mount", "Warning", "FailedMount", "MountVolume.SetUp failed\n", "FailedMount: MountVolume.SetUp failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := eventProgress(&corev1.Event{Type: tt.typ, Reason: tt.reason, Message: tt.message})
			if got != tt.want {
				t.Errorf("eventProgress = %q, want %q", got, tt.want)
			}
		})
	}
}

// Only what is said of the pod itself is told.
func TestTellEvents(t *testing.T) {
	client, events := fake.NewClientset(), watch.NewFakeWithChanSize(2, false)
	client.PrependWatchReactor("events", clienttesting.DefaultWatchReactor(events, nil))
	pod := podWith(corev1.PodStatus{})
	pod.UID = "this"
	for _, uid := range []types.UID{"another", "this"} {
		events.Add(&corev1.Event{
			InvolvedObject: corev1.ObjectReference{UID: uid}, Reason: "Pulling", Message: "Pulling image of " + string(uid),
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan string, 2), make(chan struct{})
	go func() {
		defer close(ended)
		tellEvents(ctx, client, pod, func(said string) { told <- said })
	}()
	if got, want := <-told, "pulling image of this"; got != want {
		t.Errorf("told is %q, want %q", got, want)
	}
	cancel()
	<-ended
	if len(told) > 0 {
		t.Errorf("told is %q, too", <-told)
	}
}

// When the time is up, it is the latest event that counts, whatever the order in which they are listed.
func TestLastTold(t *testing.T) {
	event := func(version, typ, reason, message string) corev1.Event {
		return corev1.Event{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}, Type: typ, Reason: reason, Message: message}
	}
	scheduled := event("8", "Normal", "Scheduled", "Successfully assigned shop/x to worker-1")
	mount := event("9", "Warning", "FailedMount", "not found")
	pulling := event("10", "Normal", "Pulling", "Pulling image of it")
	unhealthy := event("11", "Warning", "Unhealthy", "Readiness probe failed")
	tests := []struct {
		name   string
		phase  corev1.PodPhase
		events []corev1.Event
		want   string
	}{
		{"nothing", corev1.PodPending, nil, ""},
		{"nothing that tells", corev1.PodPending, []corev1.Event{scheduled}, ""},
		{"what went well after a warning", corev1.PodPending, []corev1.Event{pulling, mount, scheduled}, "pulling image of it"},
		{"a warning", corev1.PodPending, []corev1.Event{mount, scheduled}, "FailedMount: not found"},
		{"a pod that runs", corev1.PodRunning, []corev1.Event{pulling}, ""},
		{"a pod that runs and isn't well", corev1.PodRunning, []corev1.Event{unhealthy, pulling}, "Unhealthy: Readiness probe failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := lastTold(tt.events, tt.phase); got != tt.want {
				t.Errorf("lastTold = %q, want %q", got, tt.want)
			}
		})
	}
}
