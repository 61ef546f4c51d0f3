// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// ServicesFor returns the Services of a namespace that are for some of its pods: those that select them, and those that
// select no pod at all and nearly select these, as a check of them would say.
func (c *Checker) ServicesFor(ctx context.Context, namespace string, pods []corev1.Pod) ([]Target, error) {
	services, err := c.client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing services: %w", err)
	}
	all, err := c.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	var labelled []labelled // once it is needed
	var found []Target
	for i := range services.Items {
		s := &services.Items[i]
		if len(s.Spec.Selector) == 0 || s.Labels["app.kubernetes.io/managed-by"] == selector.FieldManager {
			continue // nothing tells which pods it is for, or it is an intercept's own
		}
		own := s.Spec.Selector
		is := selectsAny(own, pods)
		if !is && !selectsAny(own, all.Items) {
			if labelled == nil {
				labelled = (&walk{Checker: c}).labelledIn(ctx, namespace)
			}
			near, ok := nearest(s.Name, own, labelled)
			is = ok && selectsAny(near.selector, pods)
		}
		if is {
			found = append(found, Target{Kind: KindService, Namespace: namespace, Name: s.Name})
		}
	}
	return found, nil
}

func selectsAny(set map[string]string, pods []corev1.Pod) bool {
	matching := labels.SelectorFromSet(set)
	return slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return matching.Matches(labels.Set(pod.Labels)) })
}
