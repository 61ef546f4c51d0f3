// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func podWith(status corev1.PodStatus) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart-traffic-proxy-x"}, Status: status}
}

func waitingFor(reason, message string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
		{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}},
	}}
}

func ended(code int32, reason, message string) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
		{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}}},
	}}
}

func TestStartProblem(t *testing.T) {
	const can = "pod shop/cart-traffic-proxy-x can't start: "
	tests := []struct {
		name   string
		status corev1.PodStatus
		want   string // of no problem: empty
	}{
		{"nothing known", corev1.PodStatus{}, ""},
		{"pending", corev1.PodStatus{Phase: corev1.PodPending}, ""},
		{"being created", waitingFor("ContainerCreating", ""), ""},
		{"being initialized", waitingFor("PodInitializing", ""), ""},
		{"running", corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{
			{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		}}, ""},
		{"pull error", waitingFor("ErrImagePull", "not found"), can + "ErrImagePull: not found"},
		{"pull back-off", waitingFor("ImagePullBackOff", "Back-off pulling\n"), can + "ImagePullBackOff: Back-off pulling"},
		{"bad image name", waitingFor("InvalidImageName", "no"), can + "InvalidImageName: no"},
		{"never pulled", waitingFor("ErrImageNeverPull", "no"), can + "ErrImageNeverPull: no"},
		{"bad configuration", waitingFor("CreateContainerConfigError", "runs as root"), can + "CreateContainerConfigError: runs as root"},
		{"can't be created", waitingFor("CreateContainerError", "no"), can + "CreateContainerError: no"},
		{"can't be run", waitingFor("RunContainerError", "no"), can + "RunContainerError: no"},
		{"crashes", waitingFor("CrashLoopBackOff", "back-off 10s"), can + "CrashLoopBackOff: back-off 10s"},
		{"exited", ended(2, "Error", ""), can + "Error: its container exited with code 2"},
		{"exited and said why", ended(137, "OOMKilled", "too much"), can + "OOMKilled: its container exited with code 137 too much"},
		{
			"another version", ended(2, "Error", "flag provided but not defined: -new\nUsage of /traffic-proxy:\n  -grace…"),
			can + "Error: its container exited with code 2 flag provided but not defined: -new",
		},
		{"crashed", corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State:                waitingFor("CrashLoopBackOff", "back-off 10s").ContainerStatuses[0].State,
			LastTerminationState: ended(1, "Error", "no").ContainerStatuses[0].State,
		}}}, can + "CrashLoopBackOff: its container exited with code 1 no"},
		{"sysctl forbidden", corev1.PodStatus{Phase: corev1.PodFailed, Reason: "SysctlForbidden", Message: "forbidden sysctl"}, can + "SysctlForbidden: forbidden sysctl"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := startProblem(podWith(tt.status))
			if tt.want == "" {
				if err != nil {
					t.Errorf("startProblem = %q, want none", err)
				}
				return
			}
			if _, ok := errors.AsType[*StartError](err); !ok || err.Error() != tt.want {
				t.Errorf("startProblem = %v, want the StartError %q", err, tt.want)
			}
		})
	}
}

// Who has a traffic-proxy of another version is told so.
func TestStartHint(t *testing.T) {
	hinted, ok := errors.AsType[*StartError](startProblem(podWith(ended(2, "Error", "flag provided but not defined: -new"))))
	if !ok || !strings.Contains(hinted.Hint(), "another version") {
		t.Errorf("the error is %v; want a hint at another version", hinted)
	}
	hinted, ok = errors.AsType[*StartError](startProblem(podWith(ended(1, "Error", "no ServiceAccount"))))
	if !ok || hinted.Hint() != "" {
		t.Errorf("the error is %v; want no hint", hinted)
	}
}

func TestRefusal(t *testing.T) {
	with := func(conditions ...appsv1.DeploymentCondition) *appsv1.Deployment {
		return &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart-traffic-proxy"},
			Status:     appsv1.DeploymentStatus{Conditions: conditions},
		}
	}
	progressing := appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue}
	failure := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "exceeded quota: pods",
	}
	over := failure
	over.Status = corev1.ConditionFalse
	tests := []struct {
		name string
		d    *appsv1.Deployment
		want string
	}{
		{"nothing known", with(), ""},
		{"progressing", with(progressing), ""},
		{"refused", with(progressing, failure), "the pod of deployment shop/cart-traffic-proxy can't start: FailedCreate: exceeded quota: pods"},
		{"no longer refused", with(progressing, over), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := refusal(tt.d)
			if tt.want == "" {
				if err != nil {
					t.Errorf("refusal = %q, want none", err)
				}
				return
			}
			if _, ok := errors.AsType[*StartError](err); !ok || err.Error() != tt.want {
				t.Errorf("refusal = %v, want the StartError %q", err, tt.want)
			}
		})
	}
}

func TestStartErrorHint(t *testing.T) {
	const (
		image   = "name an image that the cluster can pull with --proxy-image or VELO_PROXY_IMAGE"
		refused = "the namespace's quota, limits or admission policies refuse the pod; an administrator can tell which"
	)
	tests := map[string]string{
		"ErrImagePull": image, "ImagePullBackOff": image, "InvalidImageName": image, "ErrImageNeverPull": image,
		"FailedCreate": refused, "ReplicaFailure": refused,
		"CrashLoopBackOff": "", "Error": "", "": "",
	}
	for reason, want := range tests {
		t.Run("reason="+reason, func(t *testing.T) {
			if got := (&StartError{Reason: reason}).Hint(); got != want {
				t.Errorf("Hint = %q, want %q", got, want)
			}
		})
	}
}
