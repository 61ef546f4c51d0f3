// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// masterService is the one Service of the namespace default that every pod has links to, wherever it is.
const masterService = "kubernetes"

// What the Services that intercepts add are labelled with.
const managedByLabel, managedBy = "app.kubernetes.io/managed-by", "kubectl-velo"

// linked returns the Services that a pod has links to, ordered by name: the API server's, and those of its own
// namespace unless it doesn't want them. Those that intercepts add for a while are not the application's, though a
// pod that starts meanwhile has links to them, too.
//
// Few users may read Services of the namespace default. Where they may not, the links to the API server are left out:
// their address is of no use outside of the cluster, and [Rules] would leave them out, too.
func (o *Objects) linked(ctx context.Context, pod *corev1.Pod) ([]corev1.Service, error) {
	var services []corev1.Service
	if pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks {
		all, err := o.Services(ctx)
		if err != nil {
			return nil, err
		}
		services = slices.Clone(all)
	}
	services = slices.DeleteFunc(services, func(s corev1.Service) bool {
		return !hasClusterIP(&s) || s.Labels[managedByLabel] == managedBy
	})
	if !slices.ContainsFunc(services, func(s corev1.Service) bool { return s.Name == masterService }) {
		master, err := o.masters.read(ctx, masterService)
		switch {
		case err == nil && hasClusterIP(master):
			services = append(services, *master)
		case err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err):
			return nil, err
		}
	}
	slices.SortFunc(services, func(a, b corev1.Service) int { return cmp.Compare(a.Name, b.Name) })
	return services, nil
}

// hasClusterIP is whether a Service has an address of its own: it's neither headless nor a name for something
// elsewhere.
func hasClusterIP(service *corev1.Service) bool {
	return service.Spec.ClusterIP != "" && service.Spec.ClusterIP != corev1.ClusterIPNone && len(service.Spec.Ports) > 0
}

// serviceLinks returns the variables that tell a container of a Service with a cluster IP: its host and ports, and what
// Docker's links once set.
// See https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables.
func serviceLinks(service *corev1.Service) []Variable {
	ip, ports := service.Spec.ClusterIP, service.Spec.Ports
	prefix := linkName(service.Name)
	var links []Variable
	add := func(name, value string) {
		links = append(links, Variable{Name: prefix + name, Value: value, From: linkFrom + service.Name})
	}
	add("_SERVICE_HOST", ip)
	add("_SERVICE_PORT", strconv.Itoa(int(ports[0].Port)))
	for _, port := range ports {
		if port.Name != "" {
			add("_SERVICE_PORT_"+linkName(port.Name), strconv.Itoa(int(port.Port)))
		}
	}
	for i, port := range ports {
		number := strconv.Itoa(int(port.Port))
		protocol := strings.ToLower(string(cmp.Or(port.Protocol, corev1.ProtocolTCP)))
		url := protocol + "://" + net.JoinHostPort(ip, number)
		if i == 0 {
			add("_PORT", url)
		}
		link := fmt.Sprintf("_PORT_%s_%s", number, strings.ToUpper(protocol))
		add(link, url)
		add(link+"_PROTO", protocol)
		add(link+"_PORT", number)
		add(link+"_ADDR", ip)
	}
	return links
}

func linkName(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}
