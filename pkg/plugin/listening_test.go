// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

// localListener listens at a free port of localhost.
func localListener(t *testing.T) (port uint16, stop func()) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return uint16(l.Addr().(*net.TCPAddr).Port), func() { _ = l.Close() }
}

// Where a COMMAND couldn't listen, nothing is changed.
func TestTakenPort(t *testing.T) {
	taken, _ := localListener(t)
	free, stop := localListener(t)
	stop()
	command := []string{"serve"}
	staged := &selector.Intercept{Owner: "ada@laptop"}
	tests := []struct {
		name    string
		port    uint16
		command []string
		evicts  *selector.Intercept
		again   bool
		refused bool
	}{
		{name: "a free port", port: free, command: command},
		{name: "a taken port", port: taken, command: command, refused: true},
		{name: "a process that runs already", port: taken},
		{name: "the port of a session to be taken over from", port: taken, command: command, evicts: staged},
		{name: "a COMMAND that runs since the session began", port: taken, command: command, again: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset(service("shop", "cart", ""), cartPod())
			allow(client, everything)
			s := sessionIn(client, portFlag{tt.port, "80"})
			s.options.command, s.evicts = tt.command, tt.evicts
			if tt.again {
				s.spec = &trafficproxy.Spec{}
			}
			err := s.preflight(t.Context())
			if !tt.refused {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			want := fmt.Sprintf("localhost:%d is taken", tt.port)
			if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(hintOf("", err), "--port") {
				t.Errorf("preflight: %v, hint %q; want %q", err, hintOf("", err), want)
			}
		})
	}
}

// A COMMAND that doesn't listen where callers are led is told of after a while, and one that does isn't.
func TestAwaitCommand(t *testing.T) {
	for _, silent := range []bool{false, true} {
		t.Run(fmt.Sprintf("silent %t", silent), func(t *testing.T) {
			port, stop := localListener(t)
			if silent {
				stop()
			}
			synctest.Test(t, func(t *testing.T) {
				var said bytes.Buffer
				ctx, cancel := context.WithTimeout(t.Context(), commandStarts+probeEvery/2)
				defer cancel()
				began := time.Now()
				awaitCommand(ctx, newReport(&said), []interceptedPort{{local: port}})
				if took := time.Since(began); took < commandStarts {
					t.Errorf("it has looked after %v", took)
				}
				want := ""
				if silent {
					want = fmt.Sprintf("⚠ nothing listens at localhost:%d yet; until it does, connections go to the cluster\n", port)
				}
				if said.String() != want {
					t.Errorf("it says %q, want %q", said.String(), want)
				}
			})
		})
	}
}

// It is told when somebody listens where nobody did, once.
func TestAwaitListening(t *testing.T) {
	free, stop := localListener(t)
	stop()
	taken, _ := localListener(t)
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		awaitListening(ctx, newReport(&said), []interceptedPort{{local: free}, {local: taken}})
		if want := fmt.Sprintf("✔ localhost:%d listens now\n", taken); said.String() != want {
			t.Errorf("it says %q, want %q", said.String(), want)
		}
		if ctx.Err() == nil {
			t.Error("it has ended before all listen")
		}
	})
}
