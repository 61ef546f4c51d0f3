// SPDX-License-Identifier: Apache-2.0

package trafficproxy

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// Running is a traffic-proxy whose container runs.
type Running struct {
	// Namespace and Pod name its pod.
	Namespace, Pod string
	// Service is the one that it stands in for, or "". Session is the session's ID.
	Service, Session string
	// Image is what its pod asks for.
	Image string
	// TunnelPort is the port of the pod's loopback that leads to it, or 0 if that isn't known.
	TunnelPort uint16
}

// ListRunning returns the traffic-proxies that run in a namespace, or in all.
func ListRunning(ctx context.Context, client kubernetes.Interface, namespace string) ([]Running, error) {
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{managedByLabel: managedBy, nameLabel: proxyName}.String(),
	})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of traffic-proxies: %w", err)
	}
	running := make([]Running, 0, len(pods.Items))
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil || len(pod.Spec.Containers) == 0 {
			continue
		}
		container := &pod.Spec.Containers[0]
		running = append(running, Running{
			Namespace: pod.Namespace, Pod: pod.Name, Image: container.Image,
			Service: pod.Labels[ServiceLabel], Session: pod.Labels[selector.SessionLabel],
			TunnelPort: tunnelPortOf(container.Args),
		})
	}
	return running, nil
}

// tunnelPortOf reads the port from a proxy's arguments: all versions have it there.
func tunnelPortOf(args []string) uint16 {
	for _, arg := range args {
		address, ok := strings.CutPrefix(arg, "--tunnel=")
		if !ok {
			continue
		}
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		if number, err := strconv.ParseUint(port, 10, 16); err == nil {
			return uint16(number)
		}
	}
	return 0
}
