// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// create creates an object of a session, of whatever kind it is. Its error names it.
func create(ctx context.Context, client kubernetes.Interface, object runtime.Object, options metav1.CreateOptions) (err error) {
	options.FieldManager = selector.FieldManager
	var kind string
	var named metav1.Object
	switch o := object.(type) {
	case *appsv1.Deployment:
		kind, named = deploymentKind, o
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
	case *batchv1.Job:
		kind, named = jobKind, o
		_, err = client.BatchV1().Jobs(o.Namespace).Create(ctx, o, options)
	default:
		return fmt.Errorf("a session has no %T", object)
	}
	if err != nil {
		return fmt.Errorf("creating %s %s/%s: %w", kind, named.GetNamespace(), named.GetName(), err)
	}
	return nil
}
