// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
)

func TestWorkloadArgument(t *testing.T) {
	tests := []struct{ arg, kind, name, want string }{
		{arg: "pod/web", kind: "pod", name: "web"},
		{arg: "po/web", kind: "pod", name: "web"},
		{arg: "pods/web", kind: "pod", name: "web"},
		{arg: "Deployment/web", kind: "deployment", name: "web"},
		{arg: "deploy/web.1", kind: "deployment", name: "web.1"},
		{arg: "deployment.apps/web", kind: "deployment", name: "web"},
		{arg: "sts/db", kind: "statefulset", name: "db"},
		{arg: "ds/agent", kind: "daemonset", name: "agent"},
		{arg: "rs/web-1", kind: "replicaset", name: "web-1"},
		{arg: "job.batch/once", kind: "job", name: "once"},
		{arg: "cj/hourly", kind: "cronjob", name: "hourly"},
		{arg: "svc/web", kind: "service", name: "web"},
		{arg: "web", want: `"web" is not of the form TYPE/NAME`},
		{arg: "", want: `"" is not of the form TYPE/NAME`},
		{arg: "/web", want: `"/web" is not of the form TYPE/NAME`},
		{arg: "pod/", want: `"pod/" is not of the form TYPE/NAME`},
		{arg: "pod/shop/web", want: `"pod/shop/web" is not of the form TYPE/NAME`},
		{arg: "ingress/web", want: `"ingress/web" is of none of the types that have pods: pod, deployment`},
		{arg: "deployment.batch/web", want: "is of none of the types"},
		{arg: ".apps/web", want: "is of none of the types"},
	}
	for _, tt := range tests {
		t.Run(tt.arg, func(t *testing.T) {
			kind, name, err := workloadArgument(tt.arg)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || exitCode(err) != exitUsage {
					t.Errorf("workloadArgument = %v, want a usage error: %s", err, tt.want)
				}
				return
			}
			if err != nil || kind != tt.kind || name != tt.name {
				t.Errorf("workloadArgument = %q, %q, %v; want %q, %q", kind, name, err, tt.kind, tt.name)
			}
		})
	}
}

func inShop(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-of-" + name)}
}

// shopPod is a pod that has been ready since some minutes, made by a controller.
func shopPod(name, kind, controller string, minutes int, edit ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: inShop(name),
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "main"}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{
			Type: corev1.PodReady, Status: corev1.ConditionTrue,
			LastTransitionTime: metav1.NewTime(time.Date(2026, 1, 1, 12, 60-minutes, 0, 0, time.UTC)),
		}}},
	}
	pod.Labels = map[string]string{"app": "shop"}
	if controller != "" {
		yes := true
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: controller, UID: types.UID("uid-of-" + controller), Controller: &yes}}
	}
	for _, fn := range edit {
		fn(pod)
	}
	return pod
}

func labelled(key, value string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.Labels[key] = value }
}

func phase(p corev1.PodPhase) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.Status = corev1.PodStatus{Phase: p} }
}

func shopService(name string, selects map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: inShop(name), Spec: corev1.ServiceSpec{Selector: selects}}
}

func TestFindWorkload(t *testing.T) {
	shop := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "shop"}}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Name: "ignored", Labels: map[string]string{"app": "shop"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main"}}},
	}
	deployment := &appsv1.Deployment{ObjectMeta: inShop("web"), Spec: appsv1.DeploymentSpec{Selector: shop, Template: template}}
	set := &appsv1.StatefulSet{ObjectMeta: inShop("db"), Spec: appsv1.StatefulSetSpec{Selector: shop, Template: template}}
	job := &batchv1.Job{ObjectMeta: inShop("once"), Spec: batchv1.JobSpec{Selector: shop, Template: template}}
	cron := func(active ...string) *batchv1.CronJob {
		c := &batchv1.CronJob{ObjectMeta: inShop("hourly")}
		c.Spec.JobTemplate.Spec.Template = template
		for _, name := range active {
			c.Status.Active = append(c.Status.Active, corev1.ObjectReference{Name: name, UID: types.UID("uid-of-" + name)})
		}
		return c
	}
	hash := labelled(appsv1.DefaultDeploymentUniqueLabelKey, "1a")
	intercepted := shopService("web", map[string]string{selector.SessionLabel: "1"})
	intercepted.Annotations = map[string]string{selector.Annotation: `{"version":1,"session":"1","owner":"ada@laptop","since":"2026-01-01T12:00:00Z","selector":{"app":"shop"},"proxy":"web-traffic-proxy"}`}
	garbled := shopService("web", map[string]string{"app": "shop"})
	garbled.Annotations = map[string]string{selector.Annotation: "{"}
	external := shopService("web", nil)
	external.Spec.Type = corev1.ServiceTypeExternalName

	tests := []struct {
		name    string
		arg     string
		objects []runtime.Object
		pod     string // "" for one that is made of the template
		idle    bool   // not running
		err     string
	}{
		{name: "pod", arg: "pod/a", objects: []runtime.Object{shopPod("a", "", "", 1)}, pod: "a"},
		{name: "pod that waits", arg: "pod/a", objects: []runtime.Object{shopPod("a", "", "", 1, phase(corev1.PodPending))}, pod: "a", idle: true},
		{
			name: "ready for longest", arg: "deploy/web", pod: "b",
			objects: []runtime.Object{
				deployment, shopPod("a", "ReplicaSet", "web-1a", 5, hash), shopPod("b", "ReplicaSet", "web-1a", 9, hash),
				shopPod("c", "ReplicaSet", "web-1a", 30, hash, phase(corev1.PodRunning)), shopPod("d", "ReplicaSet", "web-1a", 9, hash, phase(corev1.PodPending)),
			},
		},
		{
			name: "others' pods that match", arg: "deploy/web", pod: "mine",
			objects: []runtime.Object{
				deployment, shopPod("mine", "ReplicaSet", "web-1a", 1, hash), shopPod("bare", "", "", 9, hash),
				shopPod("other", "ReplicaSet", "web-admin-1a", 9, hash), shopPod("set", "StatefulSet", "db", 9),
			},
		},
		{
			name: "only finished ones", arg: "deploy/web", idle: true,
			objects: []runtime.Object{deployment, shopPod("evicted", "ReplicaSet", "web-1a", 9, hash, phase(corev1.PodFailed))},
		},
		{name: "none", arg: "deploy/web", objects: []runtime.Object{deployment}, idle: true},
		{name: "stateful", arg: "sts/db", objects: []runtime.Object{set, shopPod("db-0", "StatefulSet", "db", 1), shopPod("x", "StatefulSet", "dbx", 9)}, pod: "db-0"},
		{name: "job that is over", arg: "job/once", objects: []runtime.Object{job, shopPod("once-x", "Job", "once", 1, phase(corev1.PodSucceeded))}, pod: "once-x", idle: true},
		{
			name: "cron job that runs", arg: "cj/hourly", pod: "hourly-2-x",
			objects: []runtime.Object{
				cron("hourly-2"), shopPod("hourly-2-x", "Job", "hourly-2", 1, labelled(batchv1.JobNameLabel, "hourly-2")),
				shopPod("hourly-1-x", "Job", "hourly-1", 9, labelled(batchv1.JobNameLabel, "hourly-1")),
			},
		},
		{
			name: "cron job that doesn't", arg: "cj/hourly", idle: true,
			objects: []runtime.Object{cron(), shopPod("hourly-1-x", "Job", "hourly-1", 9, labelled(batchv1.JobNameLabel, "hourly-1"), phase(corev1.PodSucceeded))},
		},
		{name: "service", arg: "svc/web", objects: []runtime.Object{shopService("web", map[string]string{"app": "shop"}), shopPod("a", "", "", 1)}, pod: "a"},
		{
			name: "intercepted service", arg: "svc/web", pod: "a",
			objects: []runtime.Object{intercepted, shopPod("a", "", "", 1), shopPod("proxy", "", "", 9, labelled("app", "proxy"), labelled(selector.SessionLabel, "1"))},
		},
		{name: "annotation that can't be read", arg: "svc/web", objects: []runtime.Object{garbled}, err: "reading service shop/web: "},
		{name: "external service", arg: "svc/web", objects: []runtime.Object{external}, err: "service shop/web selects no pods"},
		{name: "service without pods", arg: "svc/web", objects: []runtime.Object{shopService("web", map[string]string{"app": "shop"})}, err: "finding a pod of service shop/web: it has no pods"},
		{
			name: "service of a deployment of no pods", arg: "svc/web", idle: true,
			objects: []runtime.Object{shopService("web", map[string]string{"app": "shop"}), deployment},
		},
		{
			name: "service of a set of no pods", arg: "svc/db", idle: true,
			objects: []runtime.Object{shopService("db", map[string]string{"app": "shop"}), set},
		},
		{
			name: "service of others, without pods", arg: "svc/web", objects: []runtime.Object{shopService("web", map[string]string{"app": "web-2"}), deployment},
			err: "finding a pod of service shop/web: it has no pods",
		},
		{name: "no such pod", arg: "pod/x", err: `reading pod shop/x: error from server (NotFound): pods "x" not found`},
		{name: "no such deployment", arg: "deploy/x", err: `reading deployment shop/x: error from server (NotFound): deployments.apps "x" not found`},
		{name: "no such service", arg: "svc/x", err: `reading service shop/x: error from server (NotFound): services "x" not found`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &cluster{client: fake.NewClientset(tt.objects...), namespace: "shop"}
			w, err := findWorkload(t.Context(), c, tt.arg)
			if tt.err != "" {
				if err == nil || !strings.Contains(message(err), tt.err) {
					t.Fatalf("findWorkload: %v, want %s", err, tt.err)
				}
				if strings.HasPrefix(tt.name, "no such") != apierrors.IsNotFound(err) || strings.HasSuffix(tt.name, "without pods") != errors.Is(err, errNoPods) {
					t.Errorf("findWorkload: %#v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if w.pod.Name != tt.pod || w.running == tt.idle || w.pod.Namespace != "shop" || w.pod.Spec.Containers[0].Name != "main" {
				t.Errorf("running %v, pod %+v", w.running, w.pod)
			}
		})
	}
}
