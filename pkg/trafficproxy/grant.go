// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-velo/kubectl-velo/manifests"
)

// grants are what lets the proxy restore its Service by itself.
type grants struct {
	account *corev1.ServiceAccount
	role    *rbacv1.Role
	binding *rbacv1.RoleBinding
}

func (s *Spec) grants(owner *appsv1.Deployment) (*grants, error) {
	name := DeploymentName(s.Service.Name)
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict(manifests.ProxyRole, &role); err != nil {
		return nil, fmt.Errorf("reading the Role's manifest: %w", err)
	}
	role.Rules[0].ResourceNames = []string{s.Service.Name}
	role.Rules[1].ResourceNames = []string{name}
	meta := func() metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name: name, Namespace: s.Service.Namespace, Labels: maps.Clone(role.Labels),
			OwnerReferences: []metav1.OwnerReference{ownedBy(owner)},
		}
	}
	g := &grants{
		account: &corev1.ServiceAccount{ObjectMeta: meta()},
		binding: &rbacv1.RoleBinding{
			ObjectMeta: meta(),
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: s.Service.Namespace}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		},
		role: &role,
	}
	role.ObjectMeta = meta()
	s.label(g.account, g.role, g.binding)
	return g, nil
}

// create creates the grants and reports whether the user may: RBAC lets nobody grant what they don't have themselves.
func (g *grants) create(ctx context.Context, client kubernetes.Interface) (bool, error) {
	for _, object := range []runtime.Object{g.role, g.account, g.binding} {
		err := create(ctx, client, object, metav1.CreateOptions{})
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}
