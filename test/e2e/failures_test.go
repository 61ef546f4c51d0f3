// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// grace is what the tests give sessions; restoreSlack is what a restore may take on top of it.
const (
	grace        = 10 * time.Second
	restoreSlack = 10 * time.Second
)

func graceFlag() string { return "--grace=" + grace.String() }

// times is how often a failure is repeated: VELO_E2E_TIMES, or n.
func times(t *testing.T, n int) int {
	t.Helper()
	value := os.Getenv("VELO_E2E_TIMES")
	if value == "" {
		return n
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Intercepting and letting go, again and again, under load: nobody loses a request.
func TestCyclesUnderLoad(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	r := e.startLoad("http://web/")
	for range times(t, 50) {
		v := e.intercept("web", port(l.http, "http"))
		v.interrupt()
		e.sameService("web", was)
	}
	saw := r.stop(0)
	if saw.Answered[localName] == 0 {
		t.Error("the local process answered nothing")
	}
	e.nothingLeft()
}

// The plugin is killed under load: what was inside the local process may fail, nothing else, and the cluster puts
// itself in order.
func TestKillsUnderLoad(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	for range times(t, 10) {
		r := e.startLoad("http://web/")
		v := e.intercept("web", port(l.http, "http"), graceFlag())
		e.answeredBy("http://web/", localName)
		v.signal(syscall.SIGKILL)
		v.ends(-1)
		took := e.restoredIn("web", was, grace+restoreSlack)
		r.stop(loadCallers)
		t.Logf("restored in %v", took)
	}
}

// A plugin that is stopped for longer than the grace, as by a sleep, loses its Service and takes it back.
func TestStoppedAndContinued(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	r := e.startLoad("http://web/")
	v := e.intercept("web", port(l.http, "http"), graceFlag())
	e.answeredBy("http://web/", localName)
	v.signal(syscall.SIGSTOP)
	t.Logf("restored in %v", e.restoredIn("web", was, grace+restoreSlack))
	v.signal(syscall.SIGCONT)
	v.says("service/web intercepted again")
	e.answeredBy("http://web/", localName)
	v.interrupt()
	e.sameService("web", was)
	r.stop(loadCallers)
	e.nothingLeft()
}

// The traffic-proxy's pod is deleted under load: what was in flight may fail, and the intercept comes back.
func TestPodDeletedUnderLoad(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	v := e.intercept("web", port(l.http, "http"))
	r := e.startLoad("http://web/")
	n := times(t, 10)
	for i := range n {
		if err := e.removePod(e.proxyPod(), i%2 == 1); err != nil {
			t.Fatal(err)
		}
		v.saysTimes("service/web intercepted again", i+1)
		e.answeredBy("http://web/", localName)
	}
	v.interrupt()
	r.stop(n * loadCallers)
	e.sameService("web", was)
	e.nothingLeft()
}

// proxyPod waits for a pod of the traffic-proxy and returns its name. One that was deleted may still be leaving beside it.
func (e *env) proxyPod() (name string) {
	e.Helper()
	e.eventually("a pod of the traffic-proxy", func() error {
		pods, err := e.client.CoreV1().Pods(e.namespace).List(e.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=traffic-proxy"})
		if err != nil {
			return err
		}
		at := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp == nil })
		if at < 0 {
			return errNotYet
		}
		name = pods.Items[at].Name
		return nil
	})
	return name
}

// removePod deletes a pod, or evicts it as the drain of a node does.
func (e *env) removePod(name string, evict bool) error {
	pods := e.client.CoreV1().Pods(e.namespace)
	if !evict {
		return pods.Delete(e.Context(), name, metav1.DeleteOptions{})
	}
	return pods.EvictV1(e.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: e.namespace}})
}

// The traffic-proxy's Deployment is deleted under load: the session ends and says so; the Service is whole.
func TestDeploymentDeletedUnderLoad(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	v := e.intercept("web", port(l.http, "http"))
	r := e.startLoad("http://web/")
	e.answeredBy("http://web/", localName)
	if _, err := e.kubectl("delete", "deployment", "web-traffic-proxy"); err != nil {
		t.Fatal(err)
	}
	v.says(fmt.Sprintf("error: deployment %s/web-traffic-proxy was deleted by somebody", e.namespace))
	v.ends(1)
	e.answeredBy("http://web/", "web-")
	r.stop(loadCallers)
	e.restoredIn("web", was, restoreSlack)
}

// New origin pods answer what the local process doesn't take.
func TestOriginRolloutUnderLoad(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	was := e.serviceBytes("web")
	v := e.intercept("web", port(1, "http"))
	e.answeredBy("http://web/", "web-")
	if _, err := e.kubectl("rollout", "restart", "deployment/web"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.kubectl("rollout", "status", "deployment/web", "--timeout=60s"); err != nil {
		t.Fatal(err)
	}
	e.served("http://web/")
	e.answeredBy("http://web/", "web-")
	v.interrupt()
	e.sameService("web", was)
	e.nothingLeft()
}
