// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
	"github.com/kubectl-velo/kubectl-velo/pkg/environment"
	"github.com/kubectl-velo/kubectl-velo/pkg/environment/files"
	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// dependencyOptions say what a process on this machine is to reach in the cluster.
type dependencyOptions struct {
	// Bound to flags.
	add, drop []string
	none      bool
}

func (o *dependencyOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringArrayVar(&o.add, "dep", nil, "`HOST[:PORT]` that the cluster reaches and that is to be reached from here, too; may be repeated")
	flags.StringArrayVar(&o.drop, "no-dep", nil, "`NAME` of a dependency that is not to be forwarded; may be repeated")
	flags.BoolVar(&o.none, "no-deps", false, "forward no dependencies at all")
	inGroup(flags, groupDependencies, "dep", "no-dep", "no-deps")
}

func (o *dependencyOptions) validate() error {
	if o.none && len(o.add)+len(o.drop) > 0 {
		return usageErrorf("--no-deps leaves nothing for --dep and --no-dep to say")
	}
	return nil
}

// choose returns the dependencies that the texts prove, and those asked for, but for those that are not wanted.
func (o *dependencyOptions) choose(texts []dependency.Text, services dependency.Services) ([]dependency.Dependency, error) {
	if o.none {
		return nil, nil
	}
	lists := [][]dependency.Dependency{dependency.Find(texts, services)}
	for _, value := range o.add {
		asked, err := dependency.ParseHost(value, services)
		if err != nil {
			return nil, fmt.Errorf("--dep %s: %w", value, err)
		}
		lists = append(lists, asked)
	}
	kept, err := dependency.Drop(dependency.Merge(lists...), o.drop)
	if err != nil {
		return nil, fmt.Errorf("--no-dep: %w", err)
	}
	return kept, nil
}

// environmentTexts are the texts that variables are for the finder.
func environmentTexts(variables []environment.Variable) []dependency.Text {
	texts := make([]dependency.Text, 0, len(variables))
	for _, v := range variables {
		texts = append(texts, dependency.Text{
			Where: "environment", Name: v.Name, Value: v.Value, Secret: v.Secret, ServiceLink: v.ServiceLink(),
		})
	}
	return texts
}

// argumentTexts are those of a container's command line.
func argumentTexts(container *corev1.Container) []dependency.Text {
	arguments := slices.Concat(container.Command, container.Args)
	texts := make([]dependency.Text, 0, len(arguments))
	for _, argument := range arguments {
		texts = append(texts, dependency.Text{Where: "args", Value: argument})
	}
	return texts
}

// fileTexts are those of the files that are mounted into a container.
func fileTexts(all []files.File) []dependency.Text {
	texts := make([]dependency.Text, 0, len(all))
	for _, file := range all {
		texts = append(texts, dependency.Text{Where: "file", Name: file.Path, Value: string(file.Content), Secret: file.Secret})
	}
	return texts
}

// servicesFor reads the Services that the texts, and hosts asked for, may mean: those of the pod's namespace, and of every
// other that is named there and may be read.
func (c *cluster) servicesFor(ctx context.Context, pod *corev1.Pod, texts []dependency.Text) (dependency.Services, error) {
	found := dependency.Services{Namespace: pod.Namespace}
	own, err := c.servicesOf(ctx, pod.Namespace, pod)
	if err != nil {
		return found, err
	}
	found.List = own
	for _, namespace := range dependency.Namespaces(texts, found) {
		if namespace == pod.Namespace {
			continue
		}
		others, err := c.servicesOf(ctx, namespace, nil)
		switch {
		case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsBadRequest(err):
			continue // not a namespace, or none to look into: the finder goes by what is written
		case err != nil:
			return found, err
		}
		found.List = append(found.List, others...)
	}
	return found, nil
}

// servicesOf reads the Services of a namespace, but for this program's own.
func (c *cluster) servicesOf(ctx context.Context, namespace string, pod *corev1.Pod) ([]dependency.Service, error) {
	list, err := c.client.CoreV1().Services(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the services of namespace %s: %w", namespace, err)
	}
	var services []dependency.Service
	for i := range list.Items {
		service := &list.Items[i]
		if service.Labels["app.kubernetes.io/managed-by"] == selector.FieldManager {
			continue
		}
		one := dependency.Service{
			Namespace: namespace, Name: service.Name, ExternalName: service.Spec.ExternalName,
			Headless: service.Spec.ClusterIP == corev1.ClusterIPNone,
			Own:      pod != nil && leadsTo(service, pod),
		}
		if !one.Headless {
			one.Addresses = service.Spec.ClusterIPs
		}
		for _, port := range service.Spec.Ports {
			if protocol, ok := protocolOf(port.Protocol); ok {
				one.Ports = append(one.Ports, dependency.Port{Number: uint16(port.Port), Protocol: protocol}) //nolint:gosec // a port
			}
		}
		if one.Headless {
			one.Pods = c.podNames(ctx, service)
		}
		services = append(services, one)
	}
	return services, nil
}

func protocolOf(protocol corev1.Protocol) (dependency.Protocol, bool) {
	switch protocol {
	case corev1.ProtocolUDP:
		return dependency.UDP, true
	case corev1.ProtocolTCP, "":
		return dependency.TCP, true
	default:
		return "", false
	}
}

// leadsTo reports whether a Service selects the pod, or did before it was intercepted.
func leadsTo(service *corev1.Service, pod *corev1.Pod) bool {
	wanted := service.Spec.Selector
	if held, err := selector.Of(service); err == nil && held != nil {
		wanted = held.Selector
	}
	return len(wanted) > 0 && labels.SelectorFromSet(wanted).Matches(labels.Set(pod.Labels))
}

// podNames returns the host names that pods of a headless Service have. Where pods can't be read, there are none.
func (c *cluster) podNames(ctx context.Context, service *corev1.Service) []string {
	if len(service.Spec.Selector) == 0 {
		return nil
	}
	pods, err := c.client.CoreV1().Pods(service.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(service.Spec.Selector).String(),
	})
	if err != nil {
		return nil
	}
	var names []string
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Spec.Subdomain == service.Name && pod.Spec.Hostname != "" {
			names = append(names, pod.Spec.Hostname)
		}
	}
	return names
}

// wouldForward returns what a session of a workload would forward, as far as its configuration may be read.
func (c *cluster) wouldForward(ctx context.Context, arg string, r *report) (found []dependency.Dependency, err error) {
	o := &surroundingsOptions{}
	o.skipUnreadable = true
	if err := o.validate(); err != nil {
		return nil, err
	}
	w, err := findWorkload(ctx, c, arg)
	if err != nil {
		return nil, err
	}
	around := newSurroundings(c, o, r, newLink(func() {}))
	defer func() { err = errors.Join(err, around.close()) }()
	err = around.read(ctx, w)
	return around.dependencies, err
}
