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
	v := e.intercept("web", port(l.http, "http"))
	e.answeredBy("http://web/", localName)
	e.loadAlone("http://web/", "30s")
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
	saw := e.loadResult()
	t.Logf("requests sent: %d, failed: %d, answered by %v", saw.Sent, saw.Failed, saw.Answered)
	if saw.Failed > 0 {
		t.Errorf("%d requests failed: %s", saw.Failed, strings.Join(saw.Failures, "\n"))
	}
	v.interrupt()
	e.sameService("web", was)
	e.nothingLeft()
}

// loadAlone starts a pod that sends requests for some time, and needs nobody to be told so.
func (e *env) loadAlone(url, duration string) {
	e.Helper()
	template := peerPod(map[string]string{"app": "load"}, nil, "load", "--url="+url, "--for="+duration,
		fmt.Sprintf("--kept=%d", keptCallers), fmt.Sprintf("--fresh=%d", freshCallers), "--pause=10ms", "--timeout=20s")
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err := e.client.CoreV1().Pods(e.namespace).Create(e.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "load", Labels: template.Labels}, Spec: template.Spec,
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) loadResult() load {
	e.Helper()
	var l load
	e.eventually("the load's end", func() error {
		pod, err := e.client.CoreV1().Pods(e.namespace).Get(e.Context(), "load", metav1.GetOptions{})
		if err == nil && pod.Status.Phase != corev1.PodSucceeded {
			err = fmt.Errorf("its pod is %s", pod.Status.Phase)
		}
		return err
	})
	out, err := e.kubectl("logs", "load")
	if err != nil {
		e.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		e.Fatalf("%v: %s", err, out)
	}
	counts.Lock()
	defer counts.Unlock()
	counts.sent += l.Sent
	counts.failed += l.Failed
	return l
}
