// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// offeredPort is a port that may be named by its number, or by its name, if it has one.
type offeredPort struct{ number, name, description string }

// servicePortFlag offers [LOCAL:]REMOTE for the ports of the Service that the first argument names, but for those that
// other --port flags name.
func servicePortFlag(ctx context.Context, l *catalogue, cmd *cobra.Command, args []string, toComplete string) ([]string, error) {
	names, err := serviceNames(args)
	if err != nil || len(names) != 1 {
		return nil, err
	}
	ports, err := l.servicePorts(ctx, names[0])
	if err != nil {
		return nil, err
	}
	given, err := cmd.Flags().GetStringArray("port")
	if err != nil {
		return nil, err
	}
	return offerPorts(notGiven(ports, given), toComplete), nil
}

// forwardArguments offers targets, and for every target [LOCAL:]REMOTE for its ports.
func forwardArguments(ctx context.Context, l *catalogue, cmd *cobra.Command, args []string, toComplete string) ([]string, error) {
	if cmd.Flags().Changed("all") || cmd.Flags().Changed("selector") {
		return nil, nil
	}
	targets := objects(forwardKinds())
	if len(args) == 0 || strings.Contains(toComplete, "/") {
		return targets(ctx, l, cmd, args, toComplete)
	}
	last := len(args) - 1 // the target that ports are of
	for last > 0 && !strings.Contains(args[last], "/") {
		last--
	}
	ports, err := l.portsOf(ctx, args[last])
	if words := offerPorts(notGiven(ports, args[last+1:]), toComplete); len(words) > 0 || toComplete == "" {
		return words, err
	}
	return targets(ctx, l, cmd, args, toComplete)
}

// portsOf returns the ports that can be forwarded of what a target names.
func (l *catalogue) portsOf(ctx context.Context, target string) ([]offeredPort, error) {
	if !strings.Contains(target, "/") {
		target = "pod/" + target
	}
	kind, name, err := workloadArgument(target)
	if err != nil {
		return nil, err
	}
	if kind == "service" {
		return l.servicePorts(ctx, name)
	}
	w, err := findWorkload(ctx, l.cluster, target)
	if err != nil {
		return nil, err
	}
	var ports []offeredPort
	for i := range w.pod.Spec.Containers {
		container := &w.pod.Spec.Containers[i]
		for _, port := range container.Ports {
			if port.Protocol == corev1.ProtocolTCP || port.Protocol == "" {
				ports = append(ports, offeredPort{strconv.Itoa(int(port.ContainerPort)), port.Name, "of container " + container.Name})
			}
		}
	}
	return ports, nil
}

// servicePorts returns a Service's TCP ports. Pods are looked at only where they name a port that the Service doesn't.
func (l *catalogue) servicePorts(ctx context.Context, name string) ([]offeredPort, error) {
	service, err := l.client.CoreV1().Services(l.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var pods []corev1.Pod
	byName := func(port corev1.ServicePort) bool { return port.TargetPort.Type == intstr.String }
	if slices.ContainsFunc(service.Spec.Ports, byName) {
		origin := service.Spec.Selector
		if held, err := selector.Of(service); err == nil && held != nil {
			origin = held.Selector
		}
		if len(origin) > 0 {
			// Without them, the ports are there still, but for the numbers of their containers'.
			pods, _ = l.podsBy(ctx, labels.SelectorFromSet(origin))
		}
	}
	var ports []offeredPort
	for _, port := range servicePorts(service, pods) {
		if port.Protocol == corev1.ProtocolTCP {
			ports = append(ports, offeredPort{strconv.Itoa(int(port.Port)), port.Name, fmt.Sprintf("container port %d", port.container)})
		}
	}
	return ports, nil
}

// notGiven returns the ports that none of some [LOCAL:]REMOTE names.
func notGiven(ports []offeredPort, given []string) []offeredPort {
	return slices.DeleteFunc(ports, func(port offeredPort) bool {
		return slices.ContainsFunc(given, func(one string) bool {
			remote := one[strings.LastIndex(one, ":")+1:]
			return remote == port.number || remote != "" && remote == port.name
		})
	})
}

// offerPorts offers REMOTE, and LOCAL:REMOTE for the LOCAL that is there, by number and by name.
func offerPorts(ports []offeredPort, toComplete string) []string {
	local, _, separated := strings.Cut(toComplete, ":")
	var words []string
	for _, port := range ports {
		for _, called := range []string{port.number, port.name} {
			if called == "" {
				continue
			}
			if !separated && strings.HasPrefix(called, toComplete) {
				words = append(words, cobra.CompletionWithDesc(called, port.description))
			}
			if separated || local != "" && strings.Trim(local, "0123456789") == "" {
				words = append(words, cobra.CompletionWithDesc(local+":"+called, port.description))
			}
		}
	}
	return words
}
