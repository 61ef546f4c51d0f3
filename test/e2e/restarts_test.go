// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The API server and the kubelet are killed and start again, under load that needs neither. It isn't parallel: others
// would notice.
func TestControlPlaneRestarts(t *testing.T) {
	if os.Getenv("VELO_CONTEXT") != "" {
		t.Skip("only a cluster of the test's own is restarted")
	}
	e := newEnv(t, nil)
	e.deployWeb()
	l := startLocal(t)
	was := e.serviceBytes("web")
	v := e.intercept("web", port(l.http, "http"), port(l.echo, "echo"))
	e.answeredBy("http://web/", localName)
	e.startAlone("load", "load", "--url=http://web/", "--for=30s",
		fmt.Sprintf("--kept=%d", keptCallers), fmt.Sprintf("--fresh=%d", freshCallers), "--pause=10ms", "--timeout=20s")
	e.startAlone("echo", "echo", "--address=web:9000", "--for=30s")
	components := []string{"apiserver", "kubelet", "apiserver"}
	for _, component := range components {
		if out, err := exec.Command("velo-cluster", "restart", component, "--kill").CombinedOutput(); err != nil {
			t.Fatalf("restarting %s: %v: %s", component, err, out)
		}
		e.eventually("an answer of the local process", func() error {
			l, err := e.answers("http://web/")
			if err == nil && l.Answered[localName] != l.Sent {
				err = fmt.Errorf("answered by %v", l.Answered)
			}
			return err
		})
	}
	var saw load
	e.resultOf("load", &saw)
	counts.Lock()
	counts.sent += saw.Sent
	counts.failed += saw.Failed
	counts.Unlock()
	t.Logf("requests sent: %d, failed: %d, answered by %v", saw.Sent, saw.Failed, saw.Answered)
	if saw.Failed > 0 {
		t.Errorf("%d requests failed: %s", saw.Failed, strings.Join(saw.Failures, "\n"))
	}
	var echoed struct {
		Count int64 `json:"count"`
	}
	e.resultOf("echo", &echoed)
	t.Logf("one connection: %d bytes there and back", echoed.Count)
	v.interrupt()
	e.sameService("web", was)
	e.nothingLeft()
	e.recovered()
}

// recovered waits until those who watch the API server have caught up with it after a restart: a new Service of the usual
// pods has a name, endpoints and a way to them.
func (e *env) recovered() {
	e.Helper()
	e.createServiceObject(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "new"},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{tcpPort("http", 80, intstr.FromString("http"))},
		},
	})
	e.served("http://new/")
}

// startAlone starts a pod that runs peer and needs nobody to be told so.
func (e *env) startAlone(name string, args ...string) {
	e.Helper()
	template := peerPod(map[string]string{"app": name}, nil, args...)
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err := e.client.CoreV1().Pods(e.namespace).Create(e.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: template.Labels}, Spec: template.Spec,
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
}

// resultOf waits until a pod of startAlone has ended, and reads what it saw.
func (e *env) resultOf(name string, saw any) {
	e.Helper()
	e.eventually("the end of pod "+name, func() error {
		pod, err := e.client.CoreV1().Pods(e.namespace).Get(e.Context(), name, metav1.GetOptions{})
		switch {
		case err != nil:
			return err
		case pod.Status.Phase == corev1.PodFailed:
			out, _ := e.kubectl("logs", name)
			e.Fatalf("pod %s failed: %s", name, out)
		case pod.Status.Phase != corev1.PodSucceeded:
			return fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return nil
	})
	out, err := e.kubectl("logs", name)
	if err != nil {
		e.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), saw); err != nil {
		e.Fatalf("%v: %s", err, out)
	}
}
