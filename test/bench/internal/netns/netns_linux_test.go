// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/netns"
)

func newNamespace(t *testing.T) *netns.Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	ns, err := netns.New()
	if err != nil {
		t.Skipf("no network namespace can be had here: %v", err)
	}
	return ns
}

// links are the devices that a process in a namespace sees.
func links(t *testing.T, ns *netns.Namespace) string {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "ip", "-brief", "link")
	cmd.Stdout = &out
	if err := ns.Run(cmd); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestNamespace(t *testing.T) {
	ns := newNamespace(t)
	defer ns.Close()
	if err := ns.IP(t.Context(), "link add left0 type veth peer name right0", "link set lo up"); err != nil {
		t.Fatal(err)
	}
	if got := links(t, ns); !strings.Contains(got, "left0@right0") {
		t.Errorf("a process in it sees %s", got)
	}
	other := newNamespace(t)
	defer other.Close()
	if got := links(t, other); strings.Contains(got, "left0") {
		t.Errorf("a process in another sees %s", got)
	}
	if err := ns.IP(t.Context(), "link del nobody0"); err == nil || !strings.Contains(err.Error(), "nobody0") {
		t.Errorf("what isn't there is deleted: %v", err)
	}
	if err := ns.Sysctl("net/ipv4/ip_local_port_range", "20000 30000"); err != nil {
		t.Error(err)
	}
}

// What is started in a namespace doesn't outlive it.
func TestClose(t *testing.T) {
	ns := newNamespace(t)
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	ns.Close()
	if exit := (*exec.ExitError)(nil); !errors.As(cmd.Wait(), &exit) {
		t.Errorf("it ended with %v", exit)
	}
}

func TestOpen(t *testing.T) {
	if _, err := netns.Open("/nowhere"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what isn't there can be opened: %v", err)
	}
}
