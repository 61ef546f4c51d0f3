// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-velo/kubectl-velo/pkg/networkpolicy"
)

// isolating returns those of a namespace's policies that close some of the pods to callers, but for whom their rules admit.
func isolating(all networkpolicy.Policies, pods []corev1.Pod) networkpolicy.Policies {
	return slices.DeleteFunc(all.Isolating(networkingv1.PolicyTypeIngress), func(policy networkingv1.NetworkPolicy) bool {
		return !slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return len(of(&pod, networkpolicy.Policies{policy})) > 0 })
	})
}

// of returns the policies that are for a pod. They are not for those in their node's network.
func of(pod *corev1.Pod, all networkpolicy.Policies) networkpolicy.Policies {
	if pod.Spec.HostNetwork {
		return nil
	}
	return all.Of(pod.Labels)
}

// policies looks whether the policies admit anybody at all to the port. That is no hop where there are none.
func (t *tail) policies() (Hop, bool) {
	b := t.backend
	hop := b.hop(CheckPolicies)
	if b.policiesErr != nil {
		return unread(b.object(), CheckPolicies, "the NetworkPolicies that may be for its pods", b.policiesErr,
			right{"list", "networkpolicies.networking.k8s.io", b.key.namespace}), true
	}
	if len(b.policies) == 0 {
		return hop, false
	}
	if t.admits(networkpolicy.Somebody) == networkpolicy.No {
		hop.State = Broken
		hop.Message = fmt.Sprintf("%s admits nobody to port %s of its pods", t.titles(), t.targetTitle())
		hop.Hint = t.policyHint()
		return hop, true
	}
	hop.Message = fmt.Sprintf("%s admits callers to port %s of its pods", t.titles(), t.targetTitle())
	return hop, true
}

// titles names the policies.
func (t *tail) titles() string {
	names := make([]string, len(t.backend.policies))
	for i := range t.backend.policies {
		names[i] = "networkpolicy/" + t.backend.policies[i].Name
	}
	return strings.Join(names, ", ")
}

func (t *tail) policyHint() string {
	return fmt.Sprintf("see 'kubectl describe networkpolicy %s -n %s'", t.backend.policies[0].Name, t.backend.key.namespace)
}

// admits says whether the pods' policies admit a caller. The verdict is that for the pods on the whole: some that are
// closed leave a doubt.
func (t *tail) admits(caller networkpolicy.Peer) networkpolicy.Verdict {
	pods := t.backend.pods
	verdicts := make([]networkpolicy.Verdict, len(pods))
	for i := range pods {
		to := networkpolicy.Destination{Pod: &pods[i], Port: t.target, Protocol: t.port.Protocol}
		verdicts[i] = of(&pods[i], t.backend.policies).Admit(networkingv1.PolicyTypeIngress, caller, to)
	}
	if len(verdicts) == 0 || slices.Min(verdicts) != slices.Max(verdicts) {
		return networkpolicy.Maybe
	}
	return verdicts[0]
}

// admitted looks whether the policies admit the pods of an Ingress class's controller, which is where requests come from.
// Where there are no policies, or they admit nobody anyway, there is nothing to say.
func (w *walk) admitted(ctx context.Context, t *tail, front Object, class string) []Hop {
	b := t.backend
	if len(b.policies) == 0 || !t.open() {
		return nil
	}
	hop := Hop{Object: front, Check: CheckPolicies, State: OK}
	if t.admits(networkpolicy.Stranger) == networkpolicy.Yes {
		hop.Message = t.titles() + " admits everybody"
		return []Hop{hop}
	}
	pods, needs, err := w.controllers(ctx, class)
	switch {
	case err != nil:
		return []Hop{unread(front, CheckPolicies, "whether "+t.titles()+" admits its controller", err, needs)}
	case len(pods) == 0:
		hop.State = Unknown
		hop.Message = t.titles() + " is for the pods; whether it admits the controller, whose own pods aren't found, can't be told"
		hop.Hint = t.policyHint()
		return []Hop{hop}
	}
	best := networkpolicy.No
	for i := range pods {
		best = max(best, t.admits(w.caller(ctx, &pods[i]).IsMeant))
	}
	controller := fmt.Sprintf("the controller's pod %s/%s", pods[0].Namespace, pods[0].Name)
	switch best {
	case networkpolicy.Yes:
		hop.Message = fmt.Sprintf("%s admits %s", t.titles(), controller)
	case networkpolicy.Maybe:
		hop.State, hop.Hint = Unknown, t.policyHint()
		hop.Message = fmt.Sprintf("whether %s admits %s can't be told", t.titles(), controller)
	case networkpolicy.No:
		hop.State, hop.Hint = Broken, t.policyHint()
		hop.Message = fmt.Sprintf("%s doesn't admit %s to port %s of the pods", t.titles(), controller, t.targetTitle())
	}
	return []Hop{hop}
}

// caller is a pod that calls, with what is known of its namespace: no more than its name, if it can't be read.
func (w *walk) caller(ctx context.Context, pod *corev1.Pod) networkpolicy.Pod {
	caller := networkpolicy.Pod{
		Namespace: pod.Namespace, Labels: pod.Labels, Address: pod.Status.PodIP, HostNetwork: pod.Spec.HostNetwork,
	}
	if namespace, err := w.client.CoreV1().Namespaces().Get(ctx, pod.Namespace, metav1.GetOptions{}); err == nil {
		caller.NamespaceLabels = labels.Merge(namespace.Labels, nil) // none is something to know, too
	}
	return caller
}
