// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// listenLocal gives every connection of a local port to serve, until the test ends. Connections stay open.
func listenLocal(t *testing.T, serve func(net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go serve(conn)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// What a session's end may take: its drain time, and its pod's end.
const (
	drainTime = 5 * time.Second
	endTime   = 30 * time.Second
)

// Connections that don't end by themselves hold up neither the restoring nor the session's end.
func TestStubbornConnections(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	was := e.serviceBytes("web")
	const banner = "220 I speak first\r\n"
	speaksFirst := listenLocal(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, banner)
		_, _ = io.Copy(io.Discard, conn)
	})
	neverReads := listenLocal(t, func(net.Conn) {})
	neverAnswers := listenLocal(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	v := e.intercept("web", port(speaksFirst, "http"), port(neverReads, "echo"), port(neverAnswers, "digest"))

	holders := map[string]*holder{
		"speaks first":  e.hold("web:80", "0"),
		"never reads":   e.hold("web:9000", "50000000"),
		"never answers": e.hold("web:7001", "1000"),
	}
	e.eventually("the connections to be open", func() error {
		for _, h := range holders {
			if !strings.Contains(h.stderr.String(), "connected") {
				return errNotYet
			}
		}
		return nil
	})
	v.signal(syscall.SIGINT)
	began := time.Now()
	v.says("service/web restored")
	if took := time.Since(began); took > drainTime {
		t.Errorf("the Service was restored after %v", took)
	}
	v.ends(0)
	if took := time.Since(began); took > endTime {
		t.Errorf("the session ended after %v", took)
	}
	for name, h := range holders {
		out := h.wait()
		t.Logf("%s: %s", name, out)
		if name == "speaks first" && !strings.Contains(out, `"read":19`) {
			t.Errorf("the banner of %d bytes didn't arrive: %s", len(banner), out)
		}
	}
	e.sameService("web", was)
	e.nothingLeft()
}

// holder is a caller that holds a connection.
type holder struct {
	*env
	cmd    *exec.Cmd
	stdout strings.Builder
	stderr syncBuffer
}

func (e *env) hold(address, bytes string) *holder {
	e.Helper()
	h := &holder{env: e}
	h.cmd = exec.Command("kubectl", e.flags([]string{"exec", "caller", "--", "/peer", "hold", "--address=" + address, "--bytes=" + bytes})...)
	h.cmd.Stdout, h.cmd.Stderr = &h.stdout, &h.stderr
	if err := h.cmd.Start(); err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = h.cmd.Process.Kill() })
	return h
}

func (h *holder) wait() string {
	h.Helper()
	if err := h.cmd.Wait(); err != nil {
		h.Errorf("holding a connection: %v: %s", err, h.stderr.String())
	}
	return h.stdout.String()
}

// A traffic-proxy that may have 64 MiB of memory, and no more, serves 2,000 idle connections.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	_, err := e.client.CoreV1().LimitRanges(e.namespace).Create(t.Context(), &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "small"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type:    corev1.LimitTypeContainer,
			Default: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := startLocal(t)
	v := e.intercept("web", port(l.echo, "echo"))
	cmd := exec.Command("kubectl", e.flags([]string{"exec", "-i", "caller", "--", "/peer", "idle", "--address=web:9000", "--count=2000"})...)
	var stdout strings.Builder
	var stderr syncBuffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	e.eventually("2,000 connections", func() error {
		if !strings.Contains(stderr.String(), "idle") {
			return errNotYet
		}
		return nil
	})
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, stderr.String())
	}
	pods, err := e.client.CoreV1().Pods(e.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=traffic-proxy"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d pods, %v", len(pods.Items), err)
	}
	pod := pods.Items[0]
	if limit := pod.Spec.Containers[0].Resources.Limits.Memory().String(); limit != "64Mi" || pod.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("memory limit %s, %d restarts", limit, pod.Status.ContainerStatuses[0].RestartCount)
	}
	v.interrupt()
	e.nothingLeft()
}
