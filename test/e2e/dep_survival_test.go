// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Every kind of traffic comes through to a dependency whole.
func TestForwardedTraffic(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.createService("web", tcpPort("http", 8080, intstr.FromInt32(8080)), tcpPort("echo", 9000, intstr.FromInt32(9000)),
		tcpPort("digest", 9001, intstr.FromInt32(9001)))
	e.deployPeer("web", 1, nil, "--http=:8080", "--echo=:9000", "--digest=:9001")
	e.deployApp("app", corev1.EnvVar{Name: "WEB", Value: "http://web:8080"}, corev1.EnvVar{Name: "SOCKET", Value: "ws://web:8080/ws"},
		corev1.EnvVar{Name: "ECHO", Value: "web:9000"}, corev1.EnvVar{Name: "DIGEST", Value: "web:9001"})
	out := e.must("run", "deployment/app", "--", "sh", "-ec", `
		peer transfer --url="$WEB" --bytes=30000000
		peer concurrent --url="$WEB" --count=200
		peer echo --address="$ECHO" --bytes=10000000
		peer digest --address="$DIGEST"
		peer websocket --url="$SOCKET"
		peer idle --address="$ECHO" --count=500`)
	if n := strings.Count(out, "\n"); n != 6 {
		t.Errorf("%d of 6 callers were content: %s", n, out)
	}
	t.Logf("what the callers saw: %s", strings.Join(strings.Fields(out), " "))
	e.nothingStays()
}

// The traffic-proxy goes in every way there is under a program that goes on: each time there is a new one, and the
// program's next connections work.
func TestRunSurvives(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWebAndApp(1)
	d := e.talk("run", "deployment/app", graceFlag(), "--", "sh", "-c", `while read -r line; do peer load --url="$WEB_URL" --fresh=2 --count=3 --timeout=5s; done`)
	asked, failed := 0, 0
	works := func() {
		t.Helper()
		e.eventually("the program's connections to work", func() error {
			var l load
			d.asks("go", &l)
			asked, failed = asked+l.Sent, failed+l.Failed
			if l.Failed > 0 {
				return errors.New(strings.Join(l.Failures, "; "))
			}
			return nil
		})
	}
	works()
	proxy := metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=traffic-proxy"}
	n := min(times(t, 2), 2) // the Job's controller may wait twice as long each time before it makes another pod
	for range n {
		if err := e.removePod(e.proxyPod(), false); err != nil {
			t.Fatal(err)
		}
		works()
	}
	if _, err := e.kubectl("delete", "jobs", "-l", proxy.LabelSelector); err != nil {
		t.Fatal(err)
	}
	works()
	d.signal(syscall.SIGSTOP) // as a machine that sleeps
	e.eventually("the traffic-proxy to have given up", func() error {
		jobs, err := e.client.BatchV1().Jobs(e.namespace).List(t.Context(), proxy)
		if err == nil && len(jobs.Items) > 0 {
			err = errNotYet
		}
		return err
	})
	d.signal(syscall.SIGCONT)
	works()
	d.done(0)
	t.Logf("the traffic-proxy went %d times; requests sent: %d, failed: %d", n+2, asked, failed)
	e.nothingStays()
}

// Everything works for a user without any right on this machine: only ports under 1024 can't be kept.
func TestWithoutRoot(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("everything is run without root anyway")
	}
	const nobody = 65534
	as := []string{"setpriv", fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups"}
	programs := slices.Concat(as[1:], []string{"sh", "-ec", "kubectl-velo version --client; kubectl version --client; command -v peer"})
	if out, err := exec.CommandContext(t.Context(), as[0], programs...).CombinedOutput(); err != nil {
		t.Skipf("nobody can't run the programs here: %v: %s", err, out)
	}
	e := newEnv(t, nil)
	e.createService("web", tcpPort("http", 80, intstr.FromInt32(8080)), tcpPort("more", 8080, intstr.FromInt32(8080)))
	e.deployPeer("web", 1, nil, "--http=:8080")
	e.deployApp("app", corev1.EnvVar{Name: "WEB_URL", Value: "http://web"}, corev1.EnvVar{Name: "MORE_URL", Value: "http://web:8080"})
	u := e.as(t, "dev", "edit")
	home := t.TempDir()
	for _, path := range []string{home, filepath.Dir(home), filepath.Dir(u.kubeconfig), u.kubeconfig} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	u.via = slices.Concat(as, []string{"env", "HOME=" + home, "TMPDIR=" + home, "XDG_RUNTIME_DIR="})
	d := u.talk("run", "deployment/app", "--", "sh", "-c", "peer urls && kubectl velo deps -A -o name && id -u")
	var answered map[string]named
	d.tells(&answered)
	if !strings.HasPrefix(answered["WEB_URL"].Host, "web-") || !strings.HasSuffix(answered["MORE_URL"].URL, ":8080") {
		t.Errorf("answered by %v", answered)
	}
	for _, want := range []string{"web:80", "web:8080", fmt.Sprint(nobody)} {
		if got := d.line(); got != want {
			t.Errorf("the command says %q, not %q", got, want)
		}
	}
	d.done(0)
	e.nothingStays()
}
