// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// Staged is a traffic-proxy that exists.
type Staged struct {
	// Name of the Deployment, Service it stands in for, and Session it belongs to.
	Name, Service, Session string
}

// List returns the traffic-proxies of a namespace.
func List(ctx context.Context, client kubernetes.Interface, namespace string) ([]Staged, error) {
	deployments, err := client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{managedByLabel: managedBy, nameLabel: proxyName}.String(),
	})
	if err != nil {
		return nil, fmt.Errorf("listing deployments in %s: %w", namespace, err)
	}
	staged := make([]Staged, 0, len(deployments.Items))
	for i := range deployments.Items {
		d := &deployments.Items[i]
		staged = append(staged, Staged{Name: d.Name, Service: d.Labels[ServiceLabel], Session: d.Labels[selector.SessionLabel]})
	}
	return staged, nil
}
