// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// gonePoll is how often to look whether what is being deleted has gone.
const gonePoll = 100 * time.Millisecond

// ExistsError says that the Service has a traffic-proxy already, of a session that is being set up or was killed then.
type ExistsError struct {
	Namespace, Deployment, Service string
	// Session is that session's ID. Owner runs, or ran, it.
	Session, Owner string
	// Age of the Deployment.
	Age time.Duration
}

func (e *ExistsError) Error() string {
	return fmt.Sprintf("deployment %s/%s exists: %s began to intercept the service %s ago",
		e.Namespace, e.Deployment, e.Owner, e.Age)
}

// Hint says what to do.
func (e *ExistsError) Hint() string {
	return fmt.Sprintf("if that session is dead, run 'kubectl velo restore svc/%s -n %s'", e.Service, e.Namespace)
}

// Create creates the objects and starts the pod. It reports whether the proxy may restore the Service by itself, which
// takes a user who may grant that. What exists when it fails goes with [Delete].
func Create(ctx context.Context, client kubernetes.Interface, spec *Spec) (restores bool, err error) {
	wanted, err := spec.deployment()
	if err != nil {
		return false, err
	}
	deployments := client.AppsV1().Deployments(wanted.Namespace)
	created, err := deployments.Create(ctx, wanted, metav1.CreateOptions{FieldManager: selector.FieldManager})
	if apierrors.IsAlreadyExists(err) {
		return false, exists(ctx, client, wanted, spec.Service.Name)
	}
	if err != nil {
		return false, fmt.Errorf("creating deployment %s/%s: %w", wanted.Namespace, wanted.Name, err)
	}
	service, err := spec.originService(created)
	if err != nil {
		return false, err
	}
	origin, err := client.CoreV1().Services(service.Namespace).Create(ctx, service, metav1.CreateOptions{FieldManager: selector.FieldManager})
	if err != nil {
		return false, fmt.Errorf("creating service %s/%s: %w", service.Namespace, service.Name, err)
	}
	grants, err := spec.grants(created)
	if err != nil {
		return false, err
	}
	restores, err = grants.create(ctx, client)
	if err != nil {
		return false, err
	}
	return restores, spec.start(ctx, client, created, origin, restores)
}

func exists(ctx context.Context, client kubernetes.Interface, wanted *appsv1.Deployment, service string) error {
	e := &ExistsError{Namespace: wanted.Namespace, Deployment: wanted.Name, Service: service, Owner: "somebody"}
	found, err := client.AppsV1().Deployments(wanted.Namespace).Get(ctx, wanted.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading deployment %s/%s: %w", wanted.Namespace, wanted.Name, err)
	}
	if owner := found.Annotations[OwnerAnnotation]; owner != "" {
		e.Owner = owner
	}
	e.Session = found.Labels[selector.SessionLabel]
	e.Age = time.Since(found.CreationTimestamp.Time).Round(time.Second)
	return e
}

// start tells the Deployment where the origin pods are, by an address that holds for as long as the Deployment does, and
// who it is if it restores the Service by itself, and lets it make its pod.
func (s *Spec) start(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment, origin *corev1.Service, restores bool) error {
	if net.ParseIP(origin.Spec.ClusterIP) == nil {
		return fmt.Errorf("service %s/%s was given no cluster IP", origin.Namespace, origin.Name)
	}
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value,omitempty"`
	}
	const pod = "/spec/template/spec"
	args := []string{"--origin=" + origin.Spec.ClusterIP}
	operations := []operation{{Op: "remove", Path: "/spec/paused"}}
	if restores {
		args = append(args, "--namespace="+d.Namespace, "--service="+s.Service.Name, "--deployment="+d.Name, "--grace="+s.Grace.String())
		operations = append(operations,
			operation{"add", pod + "/serviceAccountName", d.Name},
			operation{"replace", pod + "/automountServiceAccountToken", true})
	}
	for _, arg := range args {
		operations = append(operations, operation{"add", pod + "/containers/0/args/-", arg})
	}
	body, err := json.Marshal(operations)
	if err != nil {
		return err
	}
	_, err = client.AppsV1().Deployments(d.Namespace).Patch(ctx, d.Name, types.JSONPatchType, body,
		metav1.PatchOptions{FieldManager: selector.FieldManager})
	if err != nil {
		return fmt.Errorf("starting deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	return nil
}

// MarkTakenOver tells a session, on its Deployment, who takes its Service over. A Deployment of another session is left
// alone; one that doesn't exist is no error.
func MarkTakenOver(ctx context.Context, client kubernetes.Interface, namespace, name, session, by string) error {
	d, err := ofSession(ctx, client, namespace, name, session)
	if d == nil {
		return err
	}
	deployments := client.AppsV1().Deployments(namespace)
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": d.UID, "annotations": map[string]string{TakenOverAnnotation: by}},
	})
	if err != nil {
		return err
	}
	_, err = deployments.Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: selector.FieldManager})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("annotating deployment %s/%s: %w", namespace, name, err)
	}
	return nil
}

// Delete deletes the traffic-proxy of a session, and waits until it has gone with everything it owns and has let its
// callers go. A Deployment of another session is left alone; one that doesn't exist is no error.
func Delete(ctx context.Context, client kubernetes.Interface, namespace, name, session string) error {
	d, err := ofSession(ctx, client, namespace, name, session)
	if d == nil {
		return err
	}
	deployments := client.AppsV1().Deployments(namespace)
	// The pod goes first: it lets its callers go, and needs the origin Service for that.
	if err := dismiss(ctx, client, d); err != nil {
		return err
	}
	// In the foreground, it is there until what it owns has gone, so that its end is the end of everything.
	foreground := metav1.DeletePropagationForeground
	err = deployments.Delete(ctx, name, metav1.DeleteOptions{
		PropagationPolicy: &foreground,
		Preconditions:     metav1.NewUIDPreconditions(string(d.UID)),
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting deployment %s/%s: %w", namespace, name, err)
	}
	return errors.Join(awaitGone(ctx, client, d), awaitOrphanGone(ctx, client, d))
}

// ofSession returns a Deployment if it exists and is the session's, or nil.
func ofSession(ctx context.Context, client kubernetes.Interface, namespace, name, session string) (*appsv1.Deployment, error) {
	d, err := client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading deployment %s/%s: %w", namespace, name, err)
	case d.Labels[selector.SessionLabel] != session:
		return nil, nil
	}
	return d, nil
}

// awaitOrphanGone waits until the garbage collector has seen to what a Deployment owned: its last is the origin Service.
func awaitOrphanGone(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment) error {
	name := OriginName(d.Labels[ServiceLabel])
	err := wait.PollUntilContextCancel(ctx, gonePoll, true, func(ctx context.Context) (bool, error) {
		origin, err := client.CoreV1().Services(d.Namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return true, nil
		case err != nil:
			return false, err
		}
		return !slices.ContainsFunc(origin.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == d.UID }), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for service %s/%s to be gone: %w", d.Namespace, name, err)
	}
	return nil
}

// dismiss scales a Deployment down and waits until its pods have gone.
func dismiss(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": d.UID}, "spec": map[string]any{"replicas": 0},
	})
	if err != nil {
		return err
	}
	_, err = client.AppsV1().Deployments(d.Namespace).Patch(ctx, d.Name, types.MergePatchType, body,
		metav1.PatchOptions{FieldManager: selector.FieldManager})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil // somebody else has deleted it
	case err != nil:
		return fmt.Errorf("scaling deployment %s/%s down: %w", d.Namespace, d.Name, err)
	}
	which := metav1.ListOptions{LabelSelector: labels.Set{selector.SessionLabel: d.Labels[selector.SessionLabel]}.String()}
	err = wait.PollUntilContextCancel(ctx, gonePoll, true, func(ctx context.Context) (bool, error) {
		pods, err := client.CoreV1().Pods(d.Namespace).List(ctx, which)
		return err == nil && len(pods.Items) == 0, err
	})
	if err != nil {
		return fmt.Errorf("waiting for the pods of deployment %s/%s to be gone: %w", d.Namespace, d.Name, err)
	}
	return nil
}

func awaitGone(ctx context.Context, client kubernetes.Interface, d *appsv1.Deployment) error {
	lw := cache.NewListWatchFromClient(client.AppsV1().RESTClient(), "deployments", d.Namespace,
		fields.OneTermEqualSelector("metadata.name", d.Name))
	absent := func(store cache.Store) (bool, error) {
		found, ok, err := store.GetByKey(d.Namespace + "/" + d.Name)
		return err == nil && (!ok || found.(*appsv1.Deployment).UID != d.UID), err
	}
	_, err := toolswatch.UntilWithSync(ctx, lw, &appsv1.Deployment{}, absent, func(event watch.Event) (bool, error) {
		return event.Type == watch.Deleted, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for deployment %s/%s to be gone: %w", d.Namespace, d.Name, err)
	}
	return nil
}
