// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// The callers of a load: half of them keep their connections, half open one for each request.
const (
	keptCallers  = 8
	freshCallers = 8
	loadCallers  = keptCallers + freshCallers
)

// running is a load that goes on until it is stopped.
type running struct {
	*env
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout strings.Builder
	stderr syncBuffer
}

// startLoad has the caller pod send numbered requests to a URL until the load is stopped.
func (e *env) startLoad(url string) *running {
	e.Helper()
	r := &running{env: e}
	r.cmd = exec.Command("kubectl", e.flags([]string{
		"exec", "-i", "caller", "--", "/peer", "load", "--url=" + url,
		fmt.Sprintf("--kept=%d", keptCallers), fmt.Sprintf("--fresh=%d", freshCallers), "--pause=10ms", "--timeout=20s",
	})...)
	r.cmd.Stdout, r.cmd.Stderr = &r.stdout, &r.stderr
	stdin, err := r.cmd.StdinPipe()
	if err != nil {
		e.Fatal(err)
	}
	r.stdin = stdin
	if err := r.cmd.Start(); err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

// stop ends the load and checks that no more requests failed than may. What failed is told.
func (r *running) stop(allowed int) load {
	r.Helper()
	if err := r.stdin.Close(); err != nil {
		r.Error(err)
	}
	if err := r.cmd.Wait(); err != nil {
		r.Fatalf("the load: %v: %s", err, r.stderr.String())
	}
	var l load
	if err := json.Unmarshal([]byte(r.stdout.String()), &l); err != nil {
		r.Fatal(err)
	}
	counts.Lock()
	counts.sent += l.Sent
	counts.failed += l.Failed
	counts.Unlock()
	r.Logf("%s: requests sent: %d, failed: %d (allowed: %d), answered by %v", r.Name(), l.Sent, l.Failed, allowed, l.Answered)
	if l.Failed > allowed {
		r.Errorf("%d requests failed, %d may: %s", l.Failed, allowed, strings.Join(l.Failures, "\n"))
	}
	return l
}

// restoredIn waits until a Service is what it was, and nothing of the intercept is left, and returns how long that took.
func (e *env) restoredIn(name, was string, limit time.Duration) time.Duration {
	e.Helper()
	started := time.Now()
	e.eventually("service "+name+" to be restored", func() error {
		if e.serviceBytes(name) != was {
			return errNotYet
		}
		return nil
	})
	took := time.Since(started)
	if took > limit {
		e.Errorf("service %s was restored in %v, later than in %v", name, took, limit)
	}
	e.eventually("everything else to be gone", func() error {
		out, err := e.kubectl("get", "all,serviceaccounts,roles,rolebindings", "-o", "name", "-l", "app.kubernetes.io/managed-by=kubectl-velo")
		if err == nil && out != "" {
			err = fmt.Errorf("left: %s", out)
		}
		return err
	})
	return took
}
