// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-velo/kubectl-velo/manifests"
	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// JobSpec describes the traffic-proxy of a session that intercepts nothing.
type JobSpec struct {
	Namespace string
	// Session is the ID of the session, Owner who runs it, as user@host.
	Session, Owner string
	// Image is the traffic-proxy's.
	Image string
	// Grace is how long the proxy waits for its session before it ends.
	Grace time.Duration
}

// TunnelPort returns the loopback port of the tunnel.
func (s *JobSpec) TunnelPort() uint16 { return tunnelPort }

// Workload is the Job.
func (s *JobSpec) Workload() Workload {
	return Workload{Kind: jobKind, Namespace: s.Namespace, Name: "velo-run-" + s.Session, Pods: map[string]string{
		nameLabel: proxyName, selector.SessionLabel: s.Session,
	}}
}

func (s *JobSpec) job() (*batchv1.Job, error) {
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict(manifests.Deployment, &d); err != nil {
		return nil, fmt.Errorf("reading the Deployment's manifest: %w", err)
	}
	var j batchv1.Job
	if err := yaml.UnmarshalStrict(manifests.Job, &j); err != nil {
		return nil, fmt.Errorf("reading the Job's manifest: %w", err)
	}
	w := s.Workload()
	j.Name, j.Namespace = w.Name, w.Namespace
	j.Annotations = map[string]string{OwnerAnnotation: s.Owner}
	j.Spec.Template = d.Spec.Template
	for _, labels := range []map[string]string{j.Labels, j.Spec.Template.Labels} {
		labels[selector.SessionLabel] = s.Session
	}
	pod := &j.Spec.Template.Spec
	pod.RestartPolicy = corev1.RestartPolicyOnFailure
	pod.Containers[0].Image = s.Image
	pod.Containers[0].Args = []string{
		"--session=" + s.Session,
		"--tunnel=127.0.0.1:" + strconv.Itoa(int(s.TunnelPort())),
		"--grace=" + s.Grace.String(),
	}
	return &j, nil
}

// CreateJob creates the Job. It goes with [DeleteJob], or by itself once its session is gone.
func CreateJob(ctx context.Context, client kubernetes.Interface, spec *JobSpec) error {
	j, err := spec.job()
	if err != nil {
		return err
	}
	return create(ctx, client, j, metav1.CreateOptions{})
}

// DeleteJob deletes the Job. Its pod follows by itself. A Job that doesn't exist is no error.
func DeleteJob(ctx context.Context, client kubernetes.Interface, spec *JobSpec) error {
	w := spec.Workload()
	background := metav1.DeletePropagationBackground
	err := client.BatchV1().Jobs(w.Namespace).Delete(ctx, w.Name, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting job %s/%s: %w", w.Namespace, w.Name, err)
	}
	return nil
}

// awaitRefusalOfJob returns when the Job's pod isn't created, which only its events tell. Where those may not be read, it
// waits for the context's end.
func awaitRefusalOfJob(ctx context.Context, client kubernetes.Interface, of Workload) error {
	lw := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "events", of.Namespace, fields.AndSelectors(
		fields.OneTermEqualSelector("involvedObject.name", of.Name),
		fields.OneTermEqualSelector("reason", "FailedCreate")))
	_, err := toolswatch.UntilWithSync(ctx, lw, &corev1.Event{}, nil, func(event watch.Event) (bool, error) {
		e, ok := event.Object.(*corev1.Event)
		if !ok {
			return false, nil
		}
		return false, &StartError{Object: "the pod of " + of.String(), Reason: e.Reason, Message: e.Message}
	})
	return err
}
