// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kubectl/pkg/util"

	"github.com/kubectl-velo/kubectl-velo/pkg/podforward"
	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// forwardTarget is what ports are forwarded to.
type forwardTarget struct {
	podforward.Target

	// service is nil if its ports are those of pods.
	service *forwardedService
	// pool is there once the session has begun with it.
	pool *podforward.Pool
	// bypass is there once the session looks for its pods; explained is whether it was said why there are none.
	bypass    *bypass
	explained bool
}

// forwardTarget finds what an argument names, as kubectl port-forward does: a pod, if there is no type.
func (c *cluster) forwardTarget(ctx context.Context, kubeconfig *genericclioptions.ConfigFlags, arg string) (*forwardTarget, error) {
	type result struct {
		infos []*resource.Info
		err   error
	}
	found := make(chan result, 1)
	// It takes no context; what is asked ends by itself.
	go func() {
		infos, err := resource.NewBuilder(kubeconfig).
			WithScheme(scheme.Scheme, scheme.Scheme.PrioritizedVersionsAllGroups()...).
			ContinueOnError().
			NamespaceParam(c.namespace).DefaultNamespace().
			ResourceNames("pods", arg).
			Do().Infos()
		found <- result{infos, err}
	}()
	var r result
	select {
	case r = <-found:
	case <-ctx.Done():
		return nil, fmt.Errorf("looking for %s: %w", arg, context.Cause(ctx))
	}
	switch {
	case r.err != nil:
		return nil, r.err
	case len(r.infos) != 1:
		return nil, usageErrorf("%q names %d objects: want one", arg, len(r.infos))
	}
	object := r.infos[0].Object
	name := strings.ToLower(r.infos[0].Mapping.GroupVersionKind.Kind) + "/" + r.infos[0].Name
	switch o := object.(type) {
	case *corev1.Pod:
		return c.forwardToPod(o.Name), nil
	case *corev1.Service:
		return c.forwardToService(o)
	}
	matching, err := podSelector(object)
	if err != nil {
		return nil, fmt.Errorf("cannot attach to %T: %w", object, err)
	}
	return c.forwardToPods(name, matching), nil
}

// podSelector returns what selects an object's pods.
func podSelector(object runtime.Object) (labels.Selector, error) {
	switch o := object.(type) {
	case *corev1.Service:
		if len(o.Spec.Selector) == 0 {
			return nil, errors.New("invalid service '" + o.Name + "': Service is defined without a selector")
		}
		return labels.SelectorFromSet(o.Spec.Selector), nil
	case *corev1.ReplicationController:
		return labels.SelectorFromSet(o.Spec.Selector), nil
	case *appsv1.Deployment:
		return metav1.LabelSelectorAsSelector(o.Spec.Selector)
	case *appsv1.ReplicaSet:
		return metav1.LabelSelectorAsSelector(o.Spec.Selector)
	case *appsv1.StatefulSet:
		return metav1.LabelSelectorAsSelector(o.Spec.Selector)
	case *appsv1.DaemonSet:
		return metav1.LabelSelectorAsSelector(o.Spec.Selector)
	case *batchv1.Job:
		return metav1.LabelSelectorAsSelector(o.Spec.Selector)
	}
	return nil, fmt.Errorf("cannot extract pod selector from %T", object)
}

// forwardToPod forwards to a pod, and to the next one of its name.
func (c *cluster) forwardToPod(name string) *forwardTarget {
	return &forwardTarget{Target: podforward.Target{
		Name: "pod/" + name, Unready: true,
		Find: func(ctx context.Context) ([]corev1.Pod, error) {
			pod, err := c.client.CoreV1().Pods(c.namespace).Get(ctx, name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
				return nil, nil
			case err != nil:
				return nil, err
			}
			return []corev1.Pod{*pod}, nil
		},
	}}
}

// forwardToPods forwards to all pods with labels.
func (c *cluster) forwardToPods(name string, matching labels.Selector) *forwardTarget {
	return &forwardTarget{Target: podforward.Target{
		Name: name,
		Find: func(ctx context.Context) ([]corev1.Pod, error) { return c.podsBy(ctx, matching) },
	}}
}

func (c *cluster) forwardToService(service *corev1.Service) (*forwardTarget, error) {
	if _, err := podSelector(service); err != nil {
		return nil, withHint(fmt.Errorf("cannot attach to %T: %w", service, err), "name what runs its pods instead, such as deploy/NAME")
	}
	s := &forwardedService{cluster: c, service: service}
	return &forwardTarget{Target: podforward.Target{Name: "service/" + service.Name, Find: s.find}, service: s}, nil
}

// allServices returns the Services of the namespace that have pods and TCP ports, with an argument for each such port.
func (c *cluster) allServices(ctx context.Context) (targets []*forwardTarget, ports [][]portArgument, err error) {
	services, err := c.client.CoreV1().Services(c.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("listing services: %w", err)
	}
	for i := range services.Items {
		service := &services.Items[i]
		if service.Labels["app.kubernetes.io/managed-by"] == selector.FieldManager || service.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		target, err := c.forwardToService(service)
		if err != nil {
			continue // without a selector there are no pods to forward to
		}
		var own []portArgument
		for _, port := range service.Spec.Ports {
			if port.Protocol == corev1.ProtocolTCP || port.Protocol == "" {
				number := uint16(port.Port) //nolint:gosec // a port
				own = append(own, portArgument{local: number, remote: strconv.Itoa(int(number))})
			}
		}
		if len(own) > 0 {
			targets, ports = append(targets, target), append(ports, own)
		}
	}
	if len(targets) == 0 {
		return nil, nil, fmt.Errorf("no service in namespace %s has pods and TCP ports", c.namespace)
	}
	return targets, ports, nil
}

// remotePort is one port of a target.
type remotePort struct {
	// number is what it has as its local number, if no other is wanted; container is that of the pods there are now.
	number, container uint16
	// of is that of a pod.
	of func(*corev1.Pod) (uint16, error)
}

// declares checks what can be checked of a port without a pod, and notes that it is forwarded.
func (t *forwardTarget) declares(remote string) error {
	if t.service == nil {
		return nil
	}
	number, err := t.service.number(remote)
	if err != nil {
		return err
	}
	port, err := validPort(number)
	if t.bypass != nil {
		t.bypass.ports = append(t.bypass.ports, port)
	}
	return err
}

// remote finds a port by what it is called, with a pod to look at.
func (t *forwardTarget) remote(called string, pod *corev1.Pod) (remotePort, error) {
	var port remotePort
	var err error
	if t.service != nil {
		port, err = t.service.remote(called)
	} else {
		port, err = podPort(called, pod)
	}
	if err != nil {
		return port, err
	}
	port.container, err = port.of(pod)
	return port, err
}

// podPort finds a port that is called by a pod's name for it, or by its number.
func podPort(called string, pod *corev1.Pod) (remotePort, error) {
	of := func(pod *corev1.Pod) (uint16, error) { return portOfPod(pod, called) }
	if parsed, err := strconv.ParseUint(called, 10, 16); err == nil {
		number := uint16(parsed)
		of = func(*corev1.Pod) (uint16, error) { return number, nil }
	}
	number, err := of(pod)
	if err != nil {
		return remotePort{}, err
	}
	var tcp, udp bool
	for i := range pod.Spec.Containers {
		for _, declared := range pod.Spec.Containers[i].Ports {
			if declared.ContainerPort == int32(number) {
				tcp = tcp || declared.Protocol == corev1.ProtocolTCP
				udp = udp || declared.Protocol == corev1.ProtocolUDP
			}
		}
	}
	if udp && !tcp {
		return remotePort{}, udpError(called)
	}
	return remotePort{number: number, of: of}, nil
}

func portOfPod(pod *corev1.Pod, name string) (uint16, error) {
	number, err := util.LookupContainerPortNumberByName(*pod, name)
	if err != nil {
		return 0, err
	}
	return validPort(number)
}

var errPortRange = errors.New("it is no port number")

func validPort(number int32) (uint16, error) {
	if number <= 0 || number > 1<<16-1 {
		return 0, fmt.Errorf("port %d: %w", number, errPortRange)
	}
	return uint16(number), nil
}

func udpError(remote string) error { return fmt.Errorf("UDP protocol is not supported for %s", remote) }
