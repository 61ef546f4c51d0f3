// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// warnings says what the user should know before anything changes, a line for each. None of it forbids the intercept, and
// what can't be found out is not warned of.
func (s *session) warnings(ctx context.Context, pods []corev1.Pod) []string {
	all := s.lackWarnings(pods)
	all = append(all, s.routingWarnings(pods)...)
	all = append(all, s.policyWarnings(ctx, pods)...)
	if owner := gitOpsOwner(s.service); owner != "" {
		then := "the session pauses, unless it was started with --reassert"
		if s.options.reassert {
			then = "it is intercepted again, for --reassert says so"
		}
		all = append(all, fmt.Sprintf("service/%s is kept in line by %s: should that set the selector back, %s", s.name, owner, then))
	}
	return append(all, s.ownWarnings(ctx)...)
}

// ownWarnings are about other Services of the namespace that this user intercepts. Whether such a session is alive, its
// annotation doesn't tell; the user may have forgotten one that isn't.
func (s *session) ownWarnings(ctx context.Context) []string {
	list, _, err := s.intercepts(ctx, s.namespace)
	if err != nil {
		return nil
	}
	var all []string
	for _, item := range list.Items {
		if item.Owner == s.owner && item.Name != s.name {
			all = append(all, fmt.Sprintf("service/%s is intercepted by you, too, for %s: if that session is dead, run '%s'",
				item.Name, duration.HumanDuration(time.Since(item.Since.Time)), s.restoreCommand(item.Name)))
		}
	}
	return all
}

// lackWarnings are about a Service that nobody but this machine answers for.
func (s *session) lackWarnings(pods []corev1.Pod) []string {
	lack := "has no pods"
	switch {
	case readyPod(pods) != "", s.service.Spec.PublishNotReadyAddresses && len(pods) > 0:
		return nil
	case len(pods) > 0:
		lack = "has no pod that is ready"
	}
	return []string{fmt.Sprintf(
		"service/%s %s: connections that your process doesn't take fail, and all do again when the intercept ends", s.name, lack)}
}

// routingWarnings are about callers that the swap of the selector moves otherwise than the rest.
func (s *session) routingWarnings(pods []corev1.Pod) []string {
	var all []string
	spec := &s.service.Spec
	if spec.ClusterIP == corev1.ClusterIPNone {
		all = append(all, fmt.Sprintf(
			"service/%s is headless: callers that are connected to its pods, or remember their addresses, stay with them until they ask for its name again", s.name))
		if pod := namedByDNS(s.name, pods); pod != nil {
			all = append(all, fmt.Sprintf(
				"service/%s is headless: names of single pods, such as %s.%s, vanish while it is intercepted", s.name, pod.Spec.Hostname, s.name))
		}
	}
	if spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		all = append(all, fmt.Sprintf(
			"service/%s has sessionAffinity ClientIP: connected callers stay with their pods until they reconnect, and those that are passed on to pods are not kept to one each", s.name))
	}
	if spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
		all = append(all, fmt.Sprintf(
			"service/%s has externalTrafficPolicy Local: while it is intercepted, only the traffic-proxy's node takes callers from outside", s.name))
	}
	if policy := spec.InternalTrafficPolicy; policy != nil && *policy == corev1.ServiceInternalTrafficPolicyLocal {
		all = append(all, fmt.Sprintf(
			"service/%s has internalTrafficPolicy Local: while it is intercepted, callers on other nodes than the traffic-proxy's get no answer", s.name))
	}
	return all
}

// namedByDNS returns a pod that has a name of its own below the Service's, as those of a StatefulSet have, or nil.
func namedByDNS(service string, pods []corev1.Pod) *corev1.Pod {
	for i := range pods {
		if pods[i].Spec.Subdomain == service && pods[i].Spec.Hostname != "" {
			return &pods[i]
		}
	}
	return nil
}

// gitOpsOwner names the program that keeps the Service as a Git repository has it, or returns "". Argo CD and Flux are
// known by the labels and annotations that their documentation names, and by their field managers.
func gitOpsOwner(service *corev1.Service) string {
	labels, annotations := service.Labels, service.Annotations
	tracked, _, _ := strings.Cut(annotations["argocd.argoproj.io/tracking-id"], ":")
	const argoInstance = "argocd.argoproj.io/instance"
	if app := cmp.Or(tracked, annotations[argoInstance], labels[argoInstance]); app != "" {
		return "Argo CD's application " + app
	}
	for _, flux := range []struct{ kind, group string }{
		{"Kustomization", "kustomize.toolkit.fluxcd.io"}, {"HelmRelease", "helm.toolkit.fluxcd.io"},
	} {
		if name := labels[flux.group+"/name"]; name != "" {
			return "Flux's " + flux.kind + " " + name
		}
	}
	if by := strings.ToLower(labels["app.kubernetes.io/managed-by"]); strings.HasPrefix(by, "argocd") || strings.HasPrefix(by, "argo-cd") {
		return "Argo CD"
	}
	for _, entry := range service.ManagedFields {
		if entry.FieldsV1 == nil || !ownsSelector(entry.FieldsV1.GetRawBytes()) {
			continue
		}
		switch entry.Manager {
		case "argocd-controller", "argocd-application-controller":
			return "Argo CD"
		case "kustomize-controller", "helm-controller":
			return "Flux"
		}
	}
	return ""
}

// ownsSelector reports whether a set of fields, in the FieldsV1 format of managedFields, has a Service's selector.
func ownsSelector(fields []byte) bool {
	var set struct {
		Spec struct {
			Selector json.RawMessage `json:"f:selector"`
		} `json:"f:spec"`
	}
	return json.Unmarshal(fields, &set) == nil && set.Spec.Selector != nil
}
