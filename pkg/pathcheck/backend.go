// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-velo/kubectl-velo/pkg/networkpolicy"
)

type backendKey struct{ namespace, name string }

// backend is a Service with the pods behind it, as all paths to it see them.
type backend struct {
	key backendKey
	// service is nil if it couldn't be read, for which err says why.
	service *corev1.Service
	err     error
	// hops are those that are of none of its ports.
	hops []Hop
	// pods are those that it selects; podsErr says why they can't be listed.
	pods    []corev1.Pod
	podsErr error
	// through is whether there is anything behind it to go on to.
	through bool
	slices  []discoveryv1.EndpointSlice
	// slicesErr says why they can't be listed.
	slicesErr error
	// policies are those that are for its pods; policiesErr says why they can't be listed.
	policies    networkpolicy.Policies
	policiesErr error
	tails       map[string]*tail
}

// tail is the end of a path: from a port of a Service to a process in a pod.
type tail struct {
	backend *backend
	port    corev1.ServicePort
	// target is the number of the container port, or 0 if nothing tells it.
	target int32
	// http is whether something calls the port that speaks HTTP.
	http bool
	// hops are the static ones, live those that were called.
	hops, live []Hop
	// behind are the answers that live hops got, if they were called.
	behind *behind
}

// open reports whether no static hop of the tail is broken.
func (t *tail) open() bool {
	for _, hops := range [][]Hop{t.backend.hops, t.hops} {
		for i := range hops {
			if hops[i].State == Broken {
				return false
			}
		}
	}
	return t.backend.through
}

func (b *backend) object() Object { return Object{KindService, b.key.namespace, b.key.name} }

// command completes a kubectl command with the Service's name and namespace.
func (b *backend) command(verb, rest string) string {
	return strings.TrimSpace("kubectl " + verb + " svc/" + b.key.name + " -n " + b.key.namespace + " " + rest)
}

// hop returns one of the Service that is well so far.
func (b *backend) hop(check string) Hop { return Hop{Object: b.object(), Check: check, State: OK} }

func (b *backend) add(hop Hop) { b.hops = append(b.hops, hop) }

// portless is the hop of a Service without ports.
func (b *backend) portless() Hop {
	hop := b.hop(CheckPort)
	hop.State, hop.Message = Broken, "it has no ports"
	if b.service.Spec.Type == corev1.ServiceTypeExternalName {
		hop.State, hop.Message = Unknown, "it is another name of "+b.service.Spec.ExternalName+", which is not looked at"
	}
	return hop
}

// backend looks at a Service, the first time that it is asked for.
func (w *walk) backend(ctx context.Context, namespace, name string) *backend {
	key := backendKey{namespace, name}
	if b := w.backends[key]; b != nil {
		return b
	}
	b := &backend{key: key, tails: make(map[string]*tail)}
	w.backends[key] = b
	if b.service, b.err = w.client.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{}); b.err != nil {
		b.service = nil
		return b
	}
	if b.service.Spec.Type == corev1.ServiceTypeExternalName {
		b.add(b.portless())
		return b
	}
	if !w.own(ctx, b) {
		return b
	}
	w.readBehind(ctx, b)
	b.through = b.selects(ctx, w) && b.ready(ctx, w)
	return b
}

// readBehind lists what is behind the Service. What can't be listed is said where it is needed.
func (w *walk) readBehind(ctx context.Context, b *backend) {
	namespace := b.key.namespace
	if len(b.service.Spec.Selector) > 0 {
		list, err := w.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
			LabelSelector: labels.SelectorFromSet(b.service.Spec.Selector).String(),
		})
		if b.podsErr = err; err == nil {
			for i := range list.Items {
				// One that has ended is an endpoint of nothing any more.
				if phase := list.Items[i].Status.Phase; phase != corev1.PodSucceeded && phase != corev1.PodFailed {
					b.pods = append(b.pods, list.Items[i])
				}
			}
		}
	}
	endpointSlices, err := w.client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{discoveryv1.LabelServiceName: b.key.name}.String(),
	})
	if b.slicesErr = err; err == nil {
		b.slices = endpointSlices.Items
	}
	policies, err := w.client.NetworkingV1().NetworkPolicies(namespace).List(ctx, metav1.ListOptions{})
	if b.policiesErr = err; err == nil {
		b.policies = isolating(policies.Items, b.pods)
	}
}

// tail looks at a port of the Service, the first time that it is asked for.
func (b *backend) tail(port corev1.ServicePort) *tail {
	if port.Protocol == "" {
		port.Protocol = corev1.ProtocolTCP
	}
	key := strconv.Itoa(int(port.Port)) + "/" + string(port.Protocol)
	if t := b.tails[key]; t != nil {
		return t
	}
	t := &tail{backend: b, port: port}
	b.tails[key] = t
	if !b.through {
		return t
	}
	t.hops = append(t.hops, t.targeted())
	if t.open() {
		t.hops = append(t.hops, t.endpoints())
	}
	if hop, ok := t.policies(); ok {
		t.hops = append(t.hops, hop)
	}
	return t
}

// portTitle names a Service's port for people: by number, and name if it has one.
func portTitle(port corev1.ServicePort) string {
	if port.Name == "" {
		return strconv.Itoa(int(port.Port))
	}
	return fmt.Sprintf("%d (%s)", port.Port, port.Name)
}

func portTitles(ports []corev1.ServicePort) string {
	if len(ports) == 0 {
		return "none"
	}
	titles := make([]string, len(ports))
	for i, port := range ports {
		titles[i] = portTitle(port)
	}
	return strings.Join(titles, ", ")
}
