// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A forward beside a broken path says so when it starts and when it ends, status says for how long, and that it is mended is
// said, too. Beside a healthy path nothing is said.
func TestForwardBypass(t *testing.T) {
	t.Parallel()
	e := newFront(t)
	start := func(target string) *velo {
		v := e.from.start("forward", target, ":8080") // where all of the path can be asked
		v.says("Forwarding from")
		return v
	}
	silent := func(v *velo) {
		t.Helper()
		began := time.Now()
		v.interrupt()
		took := time.Since(began)
		t.Logf("beside a healthy path it has ended after %v", took.Round(time.Millisecond))
		if out := v.output.String(); strings.Contains(out, "bypass") {
			t.Errorf("beside a healthy path it says:\n%s", out)
		}
	}
	cause := fmt.Sprintf("ingress %s/web → service %[1]s/web: selector app=web-v2 matches no pod", e.namespace)

	healthy := start("deploy/web")
	time.Sleep(3 * time.Second) // of looking
	silent(healthy)

	e.mustKubectl("set", "selector", "svc/web", "app=web-v2")
	v := start("deploy/web")
	v.says("this forward is a bypass; closing this terminal brings the outage back: " + cause)
	time.Sleep(2 * time.Second)
	e.eventually("status to show the bypass", func() error {
		all := e.forwards()
		if len(all) != 1 || all[0].Bypass == nil {
			return fmt.Errorf("status shows %+v", all)
		}
		b := all[0].Bypass
		if len(b.Paths) != 1 || !strings.HasPrefix(b.Paths[0], cause) || time.Since(b.Since) < 2*time.Second || time.Since(b.Since) > patience {
			return fmt.Errorf("status shows %+v", b)
		}
		return nil
	})
	if out, err := e.kubectl("velo", "status"); err != nil || !strings.Contains(out, "BYPASS") {
		t.Errorf("status: %v: %s", err, out)
	}
	began := time.Now()
	v.interrupt()
	t.Logf("beside a broken path it has ended after %v", time.Since(began).Round(time.Millisecond))
	v.says("this forward was a bypass; ")
	v.says("nothing was mended: " + cause)

	// Who names the Service learns why nothing can be forwarded.
	waiting := e.from.start("forward", "svc/web", ":80")
	waiting.says("waiting for service/web: it has no pods")
	waiting.says(cause)
	e.mustKubectl("set", "selector", "svc/web", "app=web")
	waiting.says("Forwarding from")
	waiting.interrupt()

	// A pod that isn't ready is reached by its name alone.
	e.mustKubectl("set", "selector", "svc/web", "app=web-v2")
	mended := start("pod/" + e.pods("web")[0].Name)
	mended.says("this forward is a bypass; closing this terminal brings the outage back: " + cause)
	e.mustKubectl("set", "selector", "svc/web", "app=web")
	mended.says("works again")
	mended.interrupt()
	if strings.Contains(mended.output.String(), "was a bypass") {
		t.Errorf("what was mended is said to be broken:\n%s", mended.output.String())
	}
}

// An intercept stands in for its Service's pods, too.
func TestInterceptBypass(t *testing.T) {
	t.Parallel()
	e := newFront(t)
	l := startLocal(t)
	began := time.Now()
	v := e.intercept("web", port(l.http, "http"))
	t.Logf("intercepted after %v", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	v.interrupt()
	t.Logf("beside a healthy path it has ended after %v", time.Since(began).Round(time.Millisecond))
	if out := v.output.String(); strings.Contains(out, "bypass") {
		t.Errorf("beside a healthy path it says:\n%s", out)
	}
	e.patchJSON("ingress/web", "/spec/rules/0/http/paths/0/backend/service/port/number", "81")
	v = e.intercept("web", port(l.http, "http"))
	began = time.Now()
	v.interrupt()
	t.Logf("beside a broken path it has ended after %v", time.Since(began).Round(time.Millisecond))
	v.says(fmt.Sprintf("the intercept was a bypass; callers meet again what it went past (see 'kubectl velo verify svc/web -n %s", e.namespace))
	v.says(fmt.Sprintf("'): ingress %s/web → service %[1]s/web: ", e.namespace))
}
