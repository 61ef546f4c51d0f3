// SPDX-License-Identifier: Apache-2.0

package profiling

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/netns"
)

// newNamespace is one with a process in it.
func newNamespace(t *testing.T) (ns *netns.Namespace, pid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	ns, err := netns.New()
	if err != nil {
		t.Skipf("no network namespace can be had here: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := ns.Start(cmd); err != nil {
		ns.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		_ = cmd.Wait() // it is killed
	})
	return ns, cmd.Process.Pid
}

// A process is asked where it is.
func TestAsk(t *testing.T) {
	ns, pid := newNamespace(t)
	var listener net.Listener
	if err := ns.Do(func() (err error) {
		listener, err = net.Listen("unix", fmt.Sprintf("@velo-profile-%d", pid))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cpu/start" {
			http.Error(w, "one is under way", http.StatusConflict)
			return
		}
		fmt.Fprint(w, r.Method, r.URL.Path)
	}))
	s.Listener.Close()
	s.Listener = listener
	s.Start()
	defer s.Close()
	if got, err := Heap(t.Context(), pid); err != nil || string(got) != "GET/heap" {
		t.Errorf("the heap is %q, %v", got, err)
	}
	if got, err := StopCPU(t.Context(), pid); err != nil || string(got) != "POST/cpu/stop" {
		t.Errorf("the profile is %q, %v", got, err)
	}
	if err := StartCPU(t.Context(), pid); !errors.Is(err, errAnswer) {
		t.Errorf("what is refused came to %v", err)
	}
}

func TestNotServed(t *testing.T) {
	_, pid := newNamespace(t)
	if err := StartCPU(t.Context(), pid); !errors.Is(err, ErrNotServed) {
		t.Errorf("it came to %v", err)
	}
}
