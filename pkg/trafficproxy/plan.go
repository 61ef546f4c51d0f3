// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
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
		err := rehearse(ctx, client, object)
		d, isDeployment := object.(*appsv1.Deployment)
		switch {
		case err == nil:
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

func rehearse(ctx context.Context, client kubernetes.Interface, object runtime.Object) (err error) {
	options := metav1.CreateOptions{FieldManager: selector.FieldManager, DryRun: []string{metav1.DryRunAll}}
	var kind string
	var named metav1.Object
	switch o := object.(type) {
	case *appsv1.Deployment:
		kind, named = "deployment", o
		_, err = client.AppsV1().Deployments(o.Namespace).Create(ctx, o, options)
	case *corev1.Service:
		kind, named = "service", o
		_, err = client.CoreV1().Services(o.Namespace).Create(ctx, o, options)
	case *corev1.ServiceAccount:
		kind, named = "serviceaccount", o
		_, err = client.CoreV1().ServiceAccounts(o.Namespace).Create(ctx, o, options)
	case *rbacv1.Role:
		kind, named = "role", o
		_, err = client.RbacV1().Roles(o.Namespace).Create(ctx, o, options)
	case *rbacv1.RoleBinding:
		kind, named = "rolebinding", o
		_, err = client.RbacV1().RoleBindings(o.Namespace).Create(ctx, o, options)
		if apierrors.IsNotFound(err) {
			// Its Role was but rehearsed, so that there are no rules to compare with the user's own. They were when the
			// Role was rehearsed.
			err = nil
		}
	default:
		return fmt.Errorf("a %T can't be rehearsed", object)
	}
	if err != nil {
		return fmt.Errorf("creating %s %s/%s: %w", kind, named.GetNamespace(), named.GetName(), err)
	}
	return nil
}

// PodLabels are all labels of the proxy's pod.
func (s *Spec) PodLabels() map[string]string {
	all := s.Selector()
	all[managedByLabel] = managedBy
	return all
}
