// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// controllerLabels are the labels that installations of well-known controllers have on the pods that requests come from,
// each as its documentation's manifests or chart put them, by what their IngressClasses name as controller.
func controllerLabels(controller string) string {
	for _, known := range []struct{ controller, labels string }{
		{"k8s.io/ingress-nginx", "app.kubernetes.io/name=ingress-nginx,app.kubernetes.io/component=controller"},
		{"traefik.io/", "app.kubernetes.io/name=traefik"},
		{"nginx.org/", "app.kubernetes.io/name=nginx-ingress"},
		{"haproxy.org/", "app.kubernetes.io/name=kubernetes-ingress"},
		{"haproxy-ingress.github.io/", "app.kubernetes.io/name=haproxy-ingress"},
		{"ingress-controllers.konghq.com/", "app.kubernetes.io/name in (kong,ingress,gateway)"},
		{"projectcontour.io/", "app.kubernetes.io/component=envoy"},
		{"cilium.io/", "k8s-app=cilium-envoy"},
	} {
		if strings.HasPrefix(controller, known.controller) {
			return known.labels
		}
	}
	return "app.kubernetes.io/component=controller,app.kubernetes.io/name=" + controller[strings.LastIndex(controller, "/")+1:]
}

// controllers finds the running pods of the controller that serves an Ingress class, or the default class if class is "".
// It finds none where they are no pods of the cluster, or have labels of their own. If it fails, it returns
// the right that it takes.
func (w *walk) controllers(ctx context.Context, class string) ([]corev1.Pod, right, error) {
	classes, err := w.client.NetworkingV1().IngressClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, right{"list", "ingressclasses.networking.k8s.io", ""}, err
	}
	at := slices.IndexFunc(classes.Items, func(c networkingv1.IngressClass) bool {
		return c.Name == class || class == "" && c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true"
	})
	if at < 0 {
		return nil, right{}, nil
	}
	pods, err := w.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		LabelSelector: controllerLabels(classes.Items[at].Spec.Controller),
	})
	if err != nil {
		return nil, right{"list", "pods", ""}, err
	}
	running := slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return pod.Status.Phase != corev1.PodRunning })
	return running, right{}, nil
}
