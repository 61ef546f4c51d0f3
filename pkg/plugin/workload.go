// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubectl/pkg/util/podutils"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

// workload is what has pods: a Deployment, say, or a Service; or it is a pod itself.
type workload struct {
	// kind is its type in the singular and in lower case: deployment.
	kind, namespace, name string
	// pod is one of its pods. Where it has none, it is made of its pod template: it has a namespace, but neither a name
	// nor a status.
	pod *corev1.Pod
	// running is whether that pod runs. One that is made of a pod template doesn't.
	running bool
}

func (w *workload) String() string { return fmt.Sprintf("%s %s/%s", w.kind, w.namespace, w.name) }

// errNoPods is wrapped by the error for a Service that has no pods, and for which no pod template makes any.
var errNoPods = errors.New("it has no pods")

// workloadKind is a type of workloads, in the spellings that kubectl has for it.
type workloadKind struct{ singular, plural, short, group string }

func workloadKinds() []workloadKind {
	return []workloadKind{
		{"pod", "pods", "po", ""},
		{"deployment", "deployments", "deploy", appsv1.GroupName},
		{"statefulset", "statefulsets", "sts", appsv1.GroupName},
		{"daemonset", "daemonsets", "ds", appsv1.GroupName},
		{"replicaset", "replicasets", "rs", appsv1.GroupName},
		{"job", "jobs", "", batchv1.GroupName},
		{"cronjob", "cronjobs", "cj", batchv1.GroupName},
		{"service", "services", "svc", ""},
	}
}

// isCalled is whether a type means this kind. It may have a group, as in what kubectl prints with -o name.
func (k workloadKind) isCalled(typ string) bool {
	typ, group, qualified := strings.Cut(strings.ToLower(typ), ".")
	return typ != "" && (typ == k.singular || typ == k.plural || typ == k.short) && (!qualified || group == k.group)
}

// workloadArgument reads an argument of the form TYPE/NAME. The kind is a workload's.
func workloadArgument(arg string) (kind, name string, err error) {
	typ, name, ok := strings.Cut(arg, "/")
	if !ok || typ == "" || name == "" || strings.Contains(name, "/") {
		return "", "", usageErrorf("%q is not of the form TYPE/NAME, such as deploy/NAME", arg)
	}
	kinds := workloadKinds()
	names := make([]string, len(kinds))
	for i, one := range kinds {
		if one.isCalled(typ) {
			return one.singular, name, nil
		}
		names[i] = one.singular
	}
	return "", "", usageErrorf("%q is of none of the types that have pods: %s", arg, strings.Join(names, ", "))
}

// findWorkload finds the workload that an argument TYPE/NAME names, with the best of its pods: one that runs before one
// that doesn't, a ready one before others, and of those, the one that has been ready for longest. The pods of an
// intercepted Service are those that it had before. Where there is no pod, it is made of the pod template; for a Service, of
// that of a Deployment or the like whose pods it would select.
//
// An error is a usage error; the API's; or wraps [errNoPods].
func findWorkload(ctx context.Context, c *cluster, arg string) (*workload, error) {
	kind, name, err := workloadArgument(arg)
	if err != nil {
		return nil, err
	}
	w := &workload{kind: kind, namespace: c.namespace, name: name}
	switch kind {
	case "pod":
		pod, err := c.client.CoreV1().Pods(c.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", w, err)
		}
		return w.with(pod), nil
	case "service":
		return c.findService(ctx, w)
	}
	maker, err := c.podMaker(ctx, kind, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", w, err)
	}
	pods, err := c.podsOf(ctx, maker)
	if err != nil {
		return nil, fmt.Errorf("listing the pods of %s: %w", w, err)
	}
	if pod := bestPod(pods); pod != nil {
		return w.with(pod), nil
	}
	return w.ofTemplate(maker.template), nil
}

func (w *workload) ofTemplate(template *corev1.PodTemplateSpec) *workload {
	w.pod = &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	w.pod.Namespace, w.pod.Name = w.namespace, ""
	return w
}

func (w *workload) with(pod *corev1.Pod) *workload {
	w.pod, w.running = pod, pod.Status.Phase == corev1.PodRunning
	return w
}

func (c *cluster) findService(ctx context.Context, w *workload) (*workload, error) {
	service, err := c.client.CoreV1().Services(c.namespace).Get(ctx, w.name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", w, err)
	}
	held, err := selector.Of(service)
	if err != nil {
		return nil, withHint(fmt.Errorf("reading %s: %w", w, err), "see 'kubectl get svc %s -n %s -o yaml'", w.name, w.namespace)
	}
	origin := service.Spec.Selector
	if held != nil {
		origin = held.Selector
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName || len(origin) == 0 {
		return nil, withHint(fmt.Errorf("%s selects no pods", w), "name what runs them instead, such as deploy/NAME")
	}
	pods, err := c.podsBy(ctx, labels.SelectorFromSet(origin))
	if err != nil {
		return nil, fmt.Errorf("listing the pods of %s: %w", w, err)
	}
	found, err := workloadOfPods(service, pods)
	if errors.Is(err, errNoPods) {
		if template := c.templateFor(ctx, labels.SelectorFromSet(origin)); template != nil {
			return w.ofTemplate(template), nil
		}
	}
	return found, err
}

// templateFor returns the pod template of a Deployment or the like whose pods would match, or nil: those that may not be read
// are none.
func (c *cluster) templateFor(ctx context.Context, matching labels.Selector) *corev1.PodTemplateSpec {
	apps, options := c.client.AppsV1(), metav1.ListOptions{}
	var templates []*corev1.PodTemplateSpec
	if list, err := apps.Deployments(c.namespace).List(ctx, options); err == nil {
		for i := range list.Items {
			templates = append(templates, &list.Items[i].Spec.Template)
		}
	}
	if list, err := apps.StatefulSets(c.namespace).List(ctx, options); err == nil {
		for i := range list.Items {
			templates = append(templates, &list.Items[i].Spec.Template)
		}
	}
	if list, err := apps.DaemonSets(c.namespace).List(ctx, options); err == nil {
		for i := range list.Items {
			templates = append(templates, &list.Items[i].Spec.Template)
		}
	}
	for _, template := range templates {
		if matching.Matches(labels.Set(template.Labels)) {
			return template
		}
	}
	return nil
}

// workloadOfPods returns a Service as the workload of pods that it selects, or selected before it was intercepted. The
// error wraps [errNoPods].
func workloadOfPods(service *corev1.Service, pods []corev1.Pod) (*workload, error) {
	w := &workload{kind: "service", namespace: service.Namespace, name: service.Name}
	pod := bestPod(slices.DeleteFunc(slices.Clone(pods), isFinished))
	if pod == nil {
		return nil, withHint(fmt.Errorf("finding a pod of %s: %w", w, errNoPods), "name what runs them instead, such as deploy/NAME")
	}
	return w.with(pod), nil
}

// podMaker is what makes pods of a pod template.
type podMaker struct {
	template *corev1.PodTemplateSpec
	// selector matches its pods, and maybe others. Nil matches none.
	selector *metav1.LabelSelector
	// made is whether a pod that matches is its own: selectors may overlap.
	made func(controller *metav1.OwnerReference, pod *corev1.Pod) bool
	// once is whether the pods that are over count, too: they are all there will be.
	once bool
}

func (c *cluster) podMaker(ctx context.Context, kind, name string) (*podMaker, error) {
	apps, batch, options := c.client.AppsV1(), c.client.BatchV1(), metav1.GetOptions{}
	switch kind {
	case "deployment":
		o, err := apps.Deployments(c.namespace).Get(ctx, name, options)
		if err != nil {
			return nil, err
		}
		return &podMaker{template: &o.Spec.Template, selector: o.Spec.Selector, made: byReplicaSetOf(o)}, nil
	case "statefulset":
		o, err := apps.StatefulSets(c.namespace).Get(ctx, name, options)
		if err != nil {
			return nil, err
		}
		return &podMaker{template: &o.Spec.Template, selector: o.Spec.Selector, made: by(o.UID)}, nil
	case "daemonset":
		o, err := apps.DaemonSets(c.namespace).Get(ctx, name, options)
		if err != nil {
			return nil, err
		}
		return &podMaker{template: &o.Spec.Template, selector: o.Spec.Selector, made: by(o.UID)}, nil
	case "replicaset":
		o, err := apps.ReplicaSets(c.namespace).Get(ctx, name, options)
		if err != nil {
			return nil, err
		}
		return &podMaker{template: &o.Spec.Template, selector: o.Spec.Selector, made: by(o.UID)}, nil
	case "job":
		o, err := batch.Jobs(c.namespace).Get(ctx, name, options)
		if err != nil {
			return nil, err
		}
		return &podMaker{template: &o.Spec.Template, selector: o.Spec.Selector, made: by(o.UID), once: true}, nil
	case "cronjob":
		o, err := batch.CronJobs(c.namespace).Get(ctx, name, options)
		if err != nil {
			return nil, err
		}
		return cronPodMaker(o), nil
	default:
		return nil, fmt.Errorf("a %s makes no pods", kind)
	}
}

func by(makers ...types.UID) func(*metav1.OwnerReference, *corev1.Pod) bool {
	return func(controller *metav1.OwnerReference, _ *corev1.Pod) bool {
		return slices.Contains(makers, controller.UID)
	}
}

// byReplicaSetOf tells a Deployment's ReplicaSets by their names, without having to read them.
func byReplicaSetOf(o *appsv1.Deployment) func(*metav1.OwnerReference, *corev1.Pod) bool {
	return func(controller *metav1.OwnerReference, pod *corev1.Pod) bool {
		return controller.Kind == "ReplicaSet" && controller.Name == o.Name+"-"+pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	}
}

// cronPodMaker makes the pods of a CronJob's Jobs that go on. Those of earlier ones may be of another template.
func cronPodMaker(o *batchv1.CronJob) *podMaker {
	maker := &podMaker{template: &o.Spec.JobTemplate.Spec.Template}
	if len(o.Status.Active) == 0 {
		return maker
	}
	jobs := metav1.LabelSelectorRequirement{Key: batchv1.JobNameLabel, Operator: metav1.LabelSelectorOpIn}
	var makers []types.UID
	for _, active := range o.Status.Active {
		jobs.Values, makers = append(jobs.Values, active.Name), append(makers, active.UID)
	}
	maker.selector, maker.made = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{jobs}}, by(makers...)
	return maker
}

func (c *cluster) podsOf(ctx context.Context, maker *podMaker) ([]corev1.Pod, error) {
	matching, err := metav1.LabelSelectorAsSelector(maker.selector)
	if err != nil || maker.selector == nil {
		return nil, err
	}
	pods, err := c.podsBy(ctx, matching)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pods, func(pod corev1.Pod) bool {
		controller := metav1.GetControllerOf(&pod)
		return controller == nil || !maker.made(controller, &pod) || isFinished(pod) && !maker.once
	}), nil
}

func (c *cluster) podsBy(ctx context.Context, matching labels.Selector) ([]corev1.Pod, error) {
	list, err := c.client.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: matching.String()})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

func isFinished(pod corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// bestPod returns the pod that a controller would delete last, or nil if there is none.
func bestPod(pods []corev1.Pod) *corev1.Pod {
	if len(pods) == 0 {
		return nil
	}
	ordered := make(podutils.ActivePods, len(pods))
	for i := range pods {
		ordered[i] = &pods[i]
	}
	sort.Stable(sort.Reverse(ordered))
	return ordered[0]
}
