// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// deployWebAndApp deploys a service of so many pods that end in order, and an app that depends on it.
func (e *env) deployWebAndApp(replicas int32) {
	e.Helper()
	template := peerPod(nil, nil, "serve", "--http=:8080")
	// No more callers are sent to a pod that ends, from a moment later on.
	template.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 2}}}
	long := int64(10)
	template.Spec.TerminationGracePeriodSeconds = &long
	e.createService("web", tcpPort("http", 8080, intstr.FromInt32(8080)))
	e.deploy("web", replicas, template)
	e.deployApp("app", corev1.EnvVar{Name: "WEB_URL", Value: "http://web:8080/"})
}

// A dependency's pods are deleted under a program that goes on calling it: of its new connections none fails.
func TestDependencyPodsDeleted(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWebAndApp(2)
	const callers = 4
	d := e.talk("run", "deployment/app", "--", "sh", "-c", `echo && exec peer load --url="$WEB_URL" --kept=2 --fresh=2 --pause=5ms --timeout=5s`)
	d.line()
	n := times(t, 3)
	for range n {
		pods, err := e.client.CoreV1().Pods(e.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
		if err != nil {
			t.Fatal(err)
		}
		// The one that has been there longest, so that each but the newest has had its time to answer.
		name := slices.MinFunc(pods.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) }).Name
		if err := e.removePod(name, false); err != nil {
			t.Fatal(err)
		}
		e.eventually("pod "+name+" to be gone", func() error {
			pods, err := e.client.CoreV1().Pods(e.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
			if err == nil && slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return p.Name == name }) {
				err = errNotYet
			}
			return err
		})
		e.available("web", 2)
	}
	e.eventually("the newest pods to be called", func() error {
		list := e.dependencies()
		if len(list.Items) != 1 || list.Items[0].State != "ready" {
			return errors.New("it isn't ready")
		}
		return nil
	})
	if err := d.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	var l load
	d.tells(&l)
	d.ends(0)
	counts.Lock()
	counts.sent, counts.failed = counts.sent+l.Sent, counts.failed+l.Failed
	counts.Unlock()
	t.Logf("pods deleted: %d, requests sent: %d, failed: %d (allowed: %d), answered by %v", n, l.Sent, l.Failed, n*callers, l.Answered)
	if l.Failed > n*callers {
		t.Errorf("%d requests failed: %s", l.Failed, strings.Join(l.Failures, "\n"))
	}
	if len(l.Answered) < n+1 {
		t.Errorf("only %v have answered", l.Answered)
	}
	e.nothingStays()
}

// A service that listens where its dependencies do, at all addresses of this machine, as most services do.
func TestOwnPortIsDependencysPort(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	const number = 28080
	ports := []corev1.ContainerPort{{Name: "http", ContainerPort: number}}
	listen := fmt.Sprintf("--http=:%d", number)
	for _, name := range []string{"orders", "web"} {
		e.createService(name, tcpPort("http", number, intstr.FromString("http")))
	}
	e.deployPeer("orders", 1, ports, listen)
	template := peerPod(nil, ports, "serve", listen)
	template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "ORDERS_URL", Value: fmt.Sprintf("http://orders:%d/", number)}}
	e.deploy("web", 1, template)
	e.deployCaller()
	url := fmt.Sprintf("http://web:%d/", number)
	e.served(url)
	v := e.intercept("web", port(number, "http"), "--", "sh", "-c", "peer urls && exec peer serve --name="+localName+" "+listen)
	v.says(`"host":"orders-`)
	e.answeredBy(url, localName)
	v.interrupt()
	e.answeredBy(url, "web-")
	e.nothingLeft()
}

// Sessions at the same time tell what they forward while they run, and leave nothing.
func TestSessionsListDependencies(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWebAndApp(1)
	const sessions = 3
	var all []*dialogue
	for range sessions {
		all = append(all, e.talk("run", "deployment/app", "--", "sh", "-c", "peer urls && exec cat"))
	}
	for _, d := range all {
		var answered map[string]named
		d.tells(&answered)
		if !strings.HasPrefix(answered["WEB_URL"].Host, "web-") {
			t.Errorf("answered by %v", answered)
		}
	}
	var list struct {
		APIVersion, Kind string
		Items            []map[string]any
	}
	if err := json.Unmarshal([]byte(e.must("deps", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	if list.APIVersion != "kubectl-velo.github.io/v1alpha1" || list.Kind != "DependencyList" || len(list.Items) != sessions {
		t.Fatalf("deps says %+v", list)
	}
	locals := make(map[any]bool)
	for _, item := range list.Items {
		for field, want := range map[string]any{
			"name": "web", "namespace": e.namespace, "port": 8080.0, "protocol": "tcp", "state": "ready", "target": "deployment/app", "connections": 0.0,
		} {
			if item[field] != want {
				t.Errorf("field %s is %v, not %v", field, item[field], want)
			}
		}
		for _, field := range []string{"bytesSent", "bytesReceived", "roundTripMicros"} {
			if n, ok := item[field].(float64); !ok || n <= 0 {
				t.Errorf("field %s is %v", field, item[field])
			}
		}
		local, _ := item["local"].(string)
		if host, port, err := net.SplitHostPort(local); err != nil || !net.ParseIP(host).IsLoopback() || port != "8080" {
			t.Errorf("field local is %v, %v", item["local"], err)
		}
		locals[local] = true
		if evidence, ok := item["evidence"].([]any); !ok || len(evidence) != 1 || !strings.Contains(evidence[0].(string), "WEB_URL") {
			t.Errorf("field evidence is %v", item["evidence"])
		}
	}
	if len(locals) != sessions {
		t.Errorf("%d sessions listen at %v", sessions, locals)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"deps"}, "web"},
		{[]string{"deps", "-o", "wide"}, "WEB_URL"},
		{[]string{"deps", "-o", "yaml"}, "kind: DependencyList"},
		{[]string{"deps", "-o", "name"}, "web:8080"},
		{[]string{"deps", "deployment/app"}, "WEB_URL"},
	} {
		if said := e.must(test.args...); !strings.Contains(said, test.want) {
			t.Errorf("%v doesn't say %s: %s", test.args, test.want, said)
		}
	}
	watch := e.start("deps", "--watch", "--no-headers")
	watch.saysTimes("web ", sessions)
	// One ends, one is interrupted, and one is asked to end. None of them minds the others.
	all[0].done(0)
	all[1].signal(syscall.SIGINT)
	all[1].ends(0)
	all[2].signal(syscall.SIGTERM)
	all[2].ends(0)
	if left := e.dependencies().Items; len(left) > 0 {
		t.Errorf("deps lists %v", left)
	}
	watch.saysTimes("ended", sessions)
	watch.interrupt()
	e.nothingStays()
}

// A session that is killed leaves a traffic-proxy that goes by itself, and files that the next session removes.
func TestKilledRun(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWebAndApp(1)
	d := e.talk("run", "deployment/app", graceFlag(), "--", "sh", "-c", `echo "$VELO_ROOT" && peer urls && exec cat`)
	root := d.line()
	d.line()
	if out, err := e.kubectl("get", "pods", "-o", "name", "-l", "app.kubernetes.io/managed-by=kubectl-velo"); err != nil || out == "" {
		t.Fatalf("the traffic-proxy is %q, %v", out, err)
	}
	killed := time.Now()
	d.signal(syscall.SIGKILL)
	_ = d.stdin.Close() // ends the COMMAND, which has outlived the plugin
	d.ends(-1)
	e.nothingStays()
	took := time.Since(killed)
	t.Logf("gone in %v", took)
	if limit := grace + 30*time.Second; took > limit {
		t.Errorf("it went in %v, later than in %v", took, limit)
	}
	if left := e.dependencies().Items; len(left) > 0 {
		t.Errorf("deps lists %v", left)
	}
	e.must("run", "deployment/app", "--", "true")
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the killed session's files are still there: %v", err)
	}
	e.nothingStays()
}
