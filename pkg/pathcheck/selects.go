// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// selects looks whether the Service's selector matches pods, and reports whether something may be behind it.
func (b *backend) selects(ctx context.Context, w *walk) bool {
	hop := b.hop(CheckSelector)
	own := b.service.Spec.Selector
	title := "selector " + labels.Set(own).String()
	switch {
	case len(own) == 0:
		hop.Message = "it has no selector: somebody else sees to where it leads"
	case b.podsErr != nil:
		hop = unread(b.object(), CheckSelector, "what "+title+" matches", b.podsErr, right{"list", "pods", b.key.namespace})
	case len(b.pods) > 0:
		hop.Message = title + " matches " + counted(len(b.pods), "pod")
	default:
		hop.State, hop.Message = Broken, title+" matches no pod"
		hop.Hint = "see 'kubectl get pods --show-labels -n " + b.key.namespace + "'"
		if near, ok := nearest(b.key.name, own, w.labelledIn(ctx, b.key.namespace)); ok {
			hop.Message, hop.Hint = hop.Message+near.explain(), near.hint(b)
		}
	}
	b.add(hop)
	return hop.State != Broken
}

// labelled is what has labels that pods have, or would have.
type labelled struct {
	Object

	labels map[string]string
	// template says that they are a pod template's, with so many replicas asked for.
	template bool
	replicas int32
	// refused is why there are none, if the API says so.
	refused string
}

// labelledIn lists pods and pod templates of a namespace, as far as they can be read: they only help to explain.
func (w *walk) labelledIn(ctx context.Context, namespace string) []labelled {
	var all []labelled
	apps := w.client.AppsV1()
	add := func(kind string, of metav1.ObjectMeta, template corev1.PodTemplateSpec, replicas *int32, refused string) {
		l := labelled{Object: Object{kind, namespace, of.Name}, labels: template.Labels, template: true, refused: refused}
		l.replicas = 1
		if replicas != nil {
			l.replicas = *replicas
		}
		all = append(all, l)
	}
	if list, err := apps.Deployments(namespace).List(ctx, metav1.ListOptions{}); err == nil {
		for _, d := range list.Items {
			add("deployment", d.ObjectMeta, d.Spec.Template, d.Spec.Replicas, refusedBy(d.Status.Conditions))
		}
	}
	if list, err := apps.StatefulSets(namespace).List(ctx, metav1.ListOptions{}); err == nil {
		for _, s := range list.Items {
			add("statefulset", s.ObjectMeta, s.Spec.Template, s.Spec.Replicas, "")
		}
	}
	if list, err := apps.DaemonSets(namespace).List(ctx, metav1.ListOptions{}); err == nil {
		for _, d := range list.Items {
			add("daemonset", d.ObjectMeta, d.Spec.Template, nil, "")
		}
	}
	if list, err := w.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{}); err == nil {
		for _, pod := range list.Items {
			all = append(all, labelled{Object: Object{"pod", namespace, pod.Name}, labels: pod.Labels})
		}
	}
	return all
}

// refusedBy is why a Deployment's pods can't be created, if so.
func refusedBy(conditions []appsv1.DeploymentCondition) string {
	for _, c := range conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return c.Message
		}
	}
	return ""
}

// miss is something that a selector nearly matches, or matches although it has no pods.
type miss struct {
	labelled

	// selector is what would match, key its one label that differs. That is empty if none does.
	selector map[string]string
	key      string
}

// nearest finds what a selector may have been meant to match: all of its labels but one, which is there with another
// value. Something else of the application does so, too: there has to be a likeness, and the greatest is taken.
func nearest(service string, selector map[string]string, all []labelled) (miss, bool) {
	var best miss
	score := 0
	for _, l := range all {
		m, ok := l.missedBy(selector)
		if !ok {
			continue
		}
		s := m.likeness(service, selector)
		if s > score {
			best, score = m, s
		}
	}
	return best, score > 0
}

func (l labelled) missedBy(selector map[string]string) (miss, bool) {
	m := miss{labelled: l, selector: maps.Clone(selector)}
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		value, ok := l.labels[key]
		switch {
		case ok && value == selector[key]:
		case !ok || m.key != "":
			return miss{}, false
		default:
			m.key, m.selector[key] = key, value
		}
	}
	return m, m.key != "" || l.template // a pod that matches has ended
}

// likeness weighs a miss: 0 for something that has nothing in common with the Service.
func (m miss) likeness(service string, selector map[string]string) int {
	const (
		all      = 100
		sameName = 10
		alike    = 5
		template = 1
	)
	score := 0
	if m.template {
		score += template
	}
	if m.key == "" {
		return score + all
	}
	is, should := m.labels[m.key], selector[m.key]
	if m.Name == service || is == service || strings.HasPrefix(m.Name, service+"-") {
		score += sameName
	}
	if strings.HasPrefix(is, should) || strings.HasPrefix(should, is) || strings.EqualFold(is, should) || oneEdit(is, should) {
		score += alike
	}
	if score == template {
		return 0
	}
	return score
}

// oneEdit reports whether two values differ by one character that is other, missing or too many, or by two that have
// changed places.
func oneEdit(a, b string) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	swapped := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return len(a) <= 1 && len(b) <= 1 || swapped
}

func (m miss) explain() string {
	switch {
	case m.key != "" && m.template:
		return fmt.Sprintf("; pods of %s have %s=%s", m.Object, m.key, m.labels[m.key])
	case m.key != "":
		return fmt.Sprintf("; %s has %s=%s", m.Object, m.key, m.labels[m.key])
	case m.replicas == 0:
		return fmt.Sprintf("; %s, whose pods it would match, has 0 replicas", m.Object)
	case m.refused != "":
		return fmt.Sprintf("; %s can't create its pods: %s", m.Object, m.refused)
	}
	return fmt.Sprintf("; %s, whose pods it would match, has none yet", m.Object)
}

func (m miss) hint(b *backend) string {
	switch {
	case m.key != "":
		return "run '" + b.command("set selector", labels.Set(m.selector).String()) + "'"
	case m.replicas == 0 && m.Kind != "daemonset":
		return "run '" + m.kubectl("scale") + " --replicas=1'"
	}
	return "see '" + m.kubectl("describe") + "'"
}

// counted writes a number of things.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
