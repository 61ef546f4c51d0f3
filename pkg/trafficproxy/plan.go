// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// Objects returns what [Create] creates, as it is in the end, for a user who may let the proxy restore its Service by
// itself, or for one who may not. Where only the API server knows a value, a placeholder in angle brackets says where it
// comes from: the owner's UID, the origin Service's address.
func Objects(spec *Spec, restores bool) ([]runtime.Object, error) {
	d, err := spec.deployment()
	if err != nil {
		return nil, err
	}
	owner := d.DeepCopy()
	owner.UID = types.UID("<uid of deployment/" + d.Name + ">")
	origin, err := spec.originService(owner)
	if err != nil {
		return nil, err
	}
	d.Spec.Paused = false
	pod := &d.Spec.Template.Spec
	args := []string{"--origin=<cluster IP of service/" + origin.Name + ">"}
	objects := []runtime.Object{d, origin}
	if restores {
		g, err := spec.grants(owner)
		if err != nil {
			return nil, err
		}
		objects = append(objects, g.role, g.account, g.binding)
		args = append(args, "--namespace="+d.Namespace, "--service="+spec.Service.Name, "--deployment="+d.Name, "--grace="+spec.Grace.String())
		pod.ServiceAccountName = d.Name
		*pod.AutomountServiceAccountToken = true
	}
	pod.Containers[0].Args = append(pod.Containers[0].Args, args...)
	return objects, nil
}

// Rehearse has the API server do all that [Create] would have it do, but for keeping it: who may do it and what admission
// says to it is decided as ever. It returns what would have been created, everything that stands against the rest,
// and whether the proxy may restore the Service by itself.
func Rehearse(ctx context.Context, client kubernetes.Interface, spec *Spec) (created []runtime.Object, restores bool, err error) {
	objects, err := Objects(spec, true)
	if err != nil {
		return nil, false, err
	}
	var problems []error
	for _, object := range objects {
		err := create(ctx, client, object, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		d, isDeployment := object.(*appsv1.Deployment)
		_, isBinding := object.(*rbacv1.RoleBinding)
		switch {
		case err == nil, isBinding && apierrors.IsNotFound(err):
			// A binding's Role was but rehearsed, so that there are no rules to compare with the user's own. They were
			// when the Role was rehearsed.
			created = append(created, object)
		case isGrant(object) && apierrors.IsForbidden(err):
			return created, false, errors.Join(problems...) // nor are those that follow created then
		case isDeployment && apierrors.IsAlreadyExists(err):
			problems = append(problems, exists(ctx, client, d, spec.Service.Name))
		default:
			problems = append(problems, err)
		}
	}
	return created, true, errors.Join(problems...)
}

// isGrant reports whether an object is there for the proxy's own rights, without which it does, too.
func isGrant(object runtime.Object) bool {
	switch object.(type) {
	case *corev1.ServiceAccount, *rbacv1.Role, *rbacv1.RoleBinding:
		return true
	}
	return false
}

// PodLabels are all labels of the proxy's pod.
func (s *Spec) PodLabels() map[string]string {
	all := s.Selector()
	all[managedByLabel] = managedBy
	return all
}
