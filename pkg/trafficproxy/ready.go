// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
	"k8s.io/kubectl/pkg/util/podutils"
)

// StartError says why the traffic-proxy's pod can't start, in Kubernetes' words.
type StartError struct {
	// Object is what the reason was found at, such as "pod shop/cart-traffic-proxy-5d4f…".
	Object string
	// Reason is one word of Kubernetes, such as ErrImagePull.
	Reason, Message string
	// Usage is true of a proxy that doesn't understand how it was called.
	Usage bool
}

func (e *StartError) Error() string {
	return fmt.Sprintf("%s can't start: %s: %s", e.Object, e.Reason, strings.TrimSpace(e.Message))
}

// Hint says what to do.
func (e *StartError) Hint() string {
	switch {
	case isImageReason(e.Reason):
		return "name an image that the cluster can pull with --proxy-image or VELO_PROXY_IMAGE"
	case e.Usage:
		return "the traffic-proxy's image is of another version than this plugin; 'kubectl velo version --client' says which one goes with it"
	case e.Reason == string(appsv1.DeploymentReplicaFailure) || e.Reason == "FailedCreate":
		return "the namespace's quota, limits or admission policies refuse the pod; an administrator can tell which"
	}
	return ""
}

// isImageReason reports whether the kubelet says by it that a container's image can't be had.
func isImageReason(reason string) bool {
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
		return true
	}
	return false
}

// isFinal reports whether the kubelet says by it that a container waits for something that won't come by waiting.
func isFinal(reason string) bool {
	switch reason {
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff":
		return true
	}
	return isImageReason(reason)
}

const deploymentKind, jobKind = "deployment", "job"

// lookTimeout bounds the look at what went wrong once the time is up.
const lookTimeout = 3 * time.Second

// errReady ends the waiting that is still going on.
var errReady = errors.New("ready")

// Workload is the object whose pod the traffic-proxy is.
type Workload struct {
	// Kind is deployment or job.
	Kind, Namespace, Name string
	// Pods selects its pod.
	Pods map[string]string
}

func (w Workload) String() string { return w.Kind + " " + w.Namespace + "/" + w.Name }

// Workload is the Deployment of an intercept's traffic-proxy.
func (s *Spec) Workload() Workload {
	return Workload{Kind: deploymentKind, Namespace: s.Service.Namespace, Name: DeploymentName(s.Service.Name), Pods: s.Selector()}
}

// AwaitReady waits until the pod is ready and returns it. It fails as soon as Kubernetes says that the pod can't start,
// with a [StartError]. What it waits for meanwhile, it tells waiting, from goroutines that have ended when it returns.
func AwaitReady(ctx context.Context, client kubernetes.Interface, of Workload, waiting func(string)) (*corev1.Pod, error) {
	var ready *corev1.Pod
	g, watching := errgroup.WithContext(ctx)
	g.Go(func() error {
		var seen types.UID
		var events *atomic.Bool // whether events of the pod that was seen have told more than its status does
		pod, err := awaitPod(watching, client, of, func(pod *corev1.Pod) {
			if seen != pod.UID {
				told := new(atomic.Bool)
				seen, events = pod.UID, told
				g.Go(func() error {
					tellEvents(watching, client, pod, func(said string) {
						told.Store(true)
						waiting(said)
					})
					return nil
				})
			}
			if said := progress(pod); said != "" && (pod.Status.Phase != corev1.PodPending || !events.Load()) {
				waiting(said)
			}
		})
		if err != nil {
			return err
		}
		ready = pod
		return errReady
	})
	g.Go(func() error { return awaitRefusal(watching, client, of) })
	err := g.Wait()
	switch {
	case errors.Is(err, errReady):
		return ready, nil
	case ctx.Err() != nil:
		return nil, overdue(ctx, client, of)
	}
	return nil, err
}

func awaitPod(ctx context.Context, client kubernetes.Interface, of Workload, waiting func(*corev1.Pod)) (*corev1.Pod, error) {
	lw := cache.NewFilteredListWatchFromClient(client.CoreV1().RESTClient(), "pods", of.Namespace,
		func(options *metav1.ListOptions) {
			options.LabelSelector = labels.SelectorFromSet(of.Pods).String()
		})
	var ready *corev1.Pod
	_, err := toolswatch.UntilWithSync(ctx, lw, &corev1.Pod{}, nil, func(event watch.Event) (bool, error) {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok || event.Type == watch.Deleted || pod.DeletionTimestamp != nil {
			return false, nil
		}
		if err := startProblem(pod); err != nil {
			return false, err
		}
		if podutils.IsPodReady(pod) {
			ready = pod
			return true, nil
		}
		waiting(pod)
		return false, nil
	})
	return ready, err
}

// awaitRefusal returns when the pod isn't even created: by quota, by Pod Security, by some other admission.
func awaitRefusal(ctx context.Context, client kubernetes.Interface, of Workload) error {
	if of.Kind == jobKind {
		return awaitRefusalOfJob(ctx, client, of)
	}
	lw := cache.NewListWatchFromClient(client.AppsV1().RESTClient(), "deployments", of.Namespace,
		fields.OneTermEqualSelector("metadata.name", of.Name))
	_, err := toolswatch.UntilWithSync(ctx, lw, &appsv1.Deployment{}, nil, func(event watch.Event) (bool, error) {
		d, ok := event.Object.(*appsv1.Deployment)
		if !ok {
			return false, nil
		}
		if event.Type == watch.Deleted {
			return false, fmt.Errorf("deployment %s/%s was deleted by somebody", d.Namespace, d.Name)
		}
		return false, refusal(d)
	})
	return err
}

func refusal(d *appsv1.Deployment) error {
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return &StartError{
				Object: "the pod of deployment " + d.Namespace + "/" + d.Name,
				Reason: condition.Reason, Message: condition.Message,
			}
		}
	}
	return nil
}

// startProblem returns why the pod won't start by itself, or nil.
func startProblem(pod *corev1.Pod) error {
	object := "pod " + pod.Namespace + "/" + pod.Name
	if pod.Status.Phase == corev1.PodFailed {
		return &StartError{Object: object, Reason: pod.Status.Reason, Message: pod.Status.Message}
	}
	for _, container := range pod.Status.ContainerStatuses {
		waiting, ended := container.State.Waiting, container.State.Terminated
		switch {
		case waiting != nil && isFinal(waiting.Reason):
			// Of one that crashes, how it ended says more than how long it is left alone now.
			if last := container.LastTerminationState.Terminated; last != nil {
				return exitProblem(object, waiting.Reason, last)
			}
			return &StartError{Object: object, Reason: waiting.Reason, Message: waiting.Message}
		case ended != nil:
			return exitProblem(object, ended.Reason, ended)
		}
	}
	return nil
}

// exitUsage is what the traffic-proxy ends with when it doesn't know one of its flags. Its usage follows what is wrong.
const exitUsage = 2

func exitProblem(object, reason string, ended *corev1.ContainerStateTerminated) error {
	said := ended.Message
	if ended.ExitCode == exitUsage {
		said, _, _ = strings.Cut(said, "\n")
	}
	return &StartError{
		Object: object, Reason: reason, Usage: ended.ExitCode == exitUsage,
		Message: fmt.Sprintf("its container exited with code %d %s", ended.ExitCode, said),
	}
}

// overdue says why the pod isn't ready when the time is up: its context's end, and what was last said of it.
func overdue(ctx context.Context, client kubernetes.Interface, of Workload) error {
	cause := fmt.Errorf("waiting for the pod of %s: %w", of, context.Cause(ctx))
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	pods, err := client.CoreV1().Pods(of.Namespace).List(last, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(of.Pods).String(),
	})
	if err != nil || len(pods.Items) == 0 {
		return cause
	}
	pod := &pods.Items[0]
	said := progress(pod)
	events, err := client.CoreV1().Events(pod.Namespace).List(last, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(pod.UID)).String(),
	})
	if err == nil {
		said = cmp.Or(lastTold(events.Items, pod.Status.Phase), said)
	}
	return fmt.Errorf("%w; pod %s: %s", cause, pod.Name, said)
}
