// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// One connection is in use, and one dialled ahead: to another pod, if there is one.
func TestStandby(t *testing.T) {
	tests := []struct {
		name string
		pods []string
		want map[string]int
	}{
		{"one pod", []string{"a"}, map[string]int{"a": 2}},
		{"two pods", []string{"a", "b"}, map[string]int{"a": 1, "b": 1}},
		{"three pods", []string{"a", "b", "c"}, map[string]int{"a": 1, "b": 1, "c": 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeCluster(t, echo, tt.pods...)
				time.Sleep(time.Minute)
				for name, want := range tt.want {
					if got := c.pod(name).connections(); got != want {
						t.Errorf("pod %s has %d connections, want %d", name, got, want)
					}
				}
				if s := c.pool.Status(); s.State != Ready || s.Reconnects != 0 {
					t.Errorf("status is %+v", s)
				}
			})
		})
	}
}

// Callers at the same time are spread over the pods, and callers one after the other are not.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, echo, "a", "b", "c", "d")
		for range 5 {
			one := c.call()
			one.says("x")
			if got, err := one.hears(); got != "a:x" {
				t.Errorf("answered with %q, %v, want pod a", got, err)
			}
			_ = one.Close()
			synctest.Wait()
		}
		for range 8 {
			one := c.call()
			one.says("x")
			if _, err := one.hears(); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			if got := c.pod(name).open(); got != 2 {
				t.Errorf("pod %s has %d callers, want 2", name, got)
			}
		}
	})
}

// A pod that goes gets no new callers and keeps those that it has.
func TestPodGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, echo, "a", "b")
		old := c.call()
		old.says("1")
		if got, err := old.hears(); got != "a:1" {
			t.Fatalf("answered with %q, %v", got, err)
		}
		c.goes("a")
		time.Sleep(2 * time.Second)
		if got := c.pool.Status().Pods; !slices.Equal(got, []string{"b"}) {
			t.Errorf("new callers go to %v", got)
		}
		for range 3 {
			one := c.call()
			one.says("x")
			if got, err := one.hears(); got != "b:x" {
				t.Errorf("answered with %q, %v", got, err)
			}
		}
		old.says("2")
		if got, err := old.hears(); got != "a:2" {
			t.Errorf("answered with %q, %v", got, err)
		}
		_ = old.Close()
		synctest.Wait()
		if got := c.pod("a").connections(); got != 0 {
			t.Errorf("%d connections to a pod that goes and has no callers", got)
		}
	})
}

// A pod that can't be reached doesn't keep the pool from the others.
func TestUnreachablePod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, echo)
		for _, name := range []string{"a", "b", "c", "d"} {
			c.add(name, func(s fakeStream) { echo(name, s) })
		}
		for _, name := range []string{"a", "b"} {
			c.pod(name).unreachable.Store(true)
		}
		time.Sleep(20 * time.Second)
		if c.pod("c").connections() == 0 || c.pod("d").connections() == 0 {
			t.Error("no connections to the pods that can be reached")
		}
		c.pod("a").unreachable.Store(false)
		c.pod("c").cut()
		c.pod("c").unreachable.Store(true)
		c.pod("d").cut()
		c.pod("d").unreachable.Store(true)
		time.Sleep(20 * time.Second)
		if c.pod("a").connections() == 0 {
			t.Error("no connection to the pod that can be reached again")
		}
	})
}

// A connection that falls silent gets no new callers, and is given up with those that it has after a minute, or at once when
// the machine has slept.
func TestSilence(t *testing.T) {
	tests := []struct {
		name   string
		probe  bool
		within time.Duration
	}{
		{"unnoticed", false, silence + 2*pingEvery},
		{"after a sleep", true, suspicion + time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeCluster(t, echo, "a", "b")
				old := c.call()
				old.says("1")
				if got, err := old.hears(); got != "a:1" {
					t.Fatalf("answered with %q, %v", got, err)
				}
				c.pod("a").silent.Store(true)
				if tt.probe {
					c.pool.Probe()
				}
				began := time.Now()
				one := c.call()
				one.says("2")
				if got, err := one.hears(); got != "b:2" || time.Since(began) > openTimeout {
					t.Errorf("answered with %q, %v, after %v", got, err, time.Since(began))
				}
				if _, err := old.hears(); err == nil || time.Since(began) > tt.within {
					t.Errorf("the old caller has ended with %v, after %v", err, time.Since(began))
				}
			})
		})
	}
}

// What a target without ready pods waits for is told.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, echo)
		state := func(want State, reason string) {
			t.Helper()
			time.Sleep(2 * time.Second)
			if s := c.pool.Status(); s.State != want || !strings.Contains(s.Reason, reason) || reason == "" && s.Reason != "" {
				t.Errorf("status is %+v, want %s for %q", s, want, reason)
			}
		}
		state(Waiting, "it has no pods")
		c.add("a", func(s fakeStream) { echo("a", s) })
		c.mu.Lock()
		c.objects["a"].Status = corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{
			{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}},
		}}
		c.mu.Unlock()
		state(Waiting, "pod a is ImagePullBackOff")
		c.mu.Lock()
		c.objects["a"].Status = corev1.PodStatus{Phase: corev1.PodRunning}
		c.mu.Unlock()
		state(Waiting, "pod a is not ready")
		c.mu.Lock()
		c.objects["a"].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		c.mu.Unlock()
		state(Ready, "")
		c.breakDown()
		state(Waiting, errDown.Error())
		c.repair()
		state(Ready, "")
		if got := c.pool.Status().Reconnects; got != 2 {
			t.Errorf("%d reconnects, want one for each connection", got)
		}
		c.goes("a")
		state(Waiting, "pod a is going")
	})
}

// A pod that is asked for by its name is forwarded to without being ready.
func TestUnreadyPod(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if (&Target{}).takes(pod) || !(&Target{Unready: true}).takes(pod) {
		t.Error("it makes no difference")
	}
	pod.DeletionTimestamp = new(metav1.Now())
	if (&Target{Unready: true}).takes(pod) {
		t.Error("one that goes is given callers")
	}
}
