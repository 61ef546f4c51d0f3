// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"os"
	"os/exec"
	"strings"
)

// namespaceFile keeps the network namespace alive, as `ip netns` would below /run/netns; but that command turns
// /run/netns into a mount of its own for good.
const namespaceFile = RunDir + "/net"

// inNamespace runs a command in the cluster's network namespace and in every other respect where we are:
// `ip netns exec` would put a fresh /sys over ours, and a container runtime finds no cgroups there.
func inNamespace(ctx context.Context, command ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + namespaceFile, "--"}, command...)...)
}

// makeNetwork makes the network namespace with a node address and a default route, but no way out.
func makeNetwork(ctx context.Context) error {
	if err := os.WriteFile(namespaceFile, nil, 0o600); err != nil {
		return err
	}
	if err := run(exec.CommandContext(ctx, "unshare", "--net="+namespaceFile, "true")); err != nil {
		return err
	}
	script := []string{
		"link set lo up",
		// Both ends stay in here. The near end is the node's network card; nobody answers at the other.
		"link add node0 type veth peer name uplink0",
		"addr add " + nodeCIDR + " dev node0",
		"link set node0 up",
		"link set uplink0 up",
		// ClusterIPs are rewritten after routing, so they need a route, whichever.
		"route add default via " + nodeGateway + " dev node0",
	}
	batch := inNamespace(ctx, "ip", "-batch", "-")
	batch.Stdin = strings.NewReader(strings.Join(script, "\n"))
	if err := run(batch); err != nil {
		return err
	}
	// These are per namespace, and so is what /proc/sys/net shows.
	sysctls := map[string]string{
		"ip_forward": "1",
		// The Ingress opens a connection per request to a handful of addresses: a load test outruns the defaults.
		// The components listen below, so that a restarted one finds its port free.
		"ip_local_port_range": "11000 65535",
		"tcp_tw_reuse":        "1",
	}
	for key, value := range sysctls {
		set := inNamespace(ctx, "sh", "-c", `echo "$2" >"/proc/sys/net/ipv4/$1"`, "sh", key, value)
		if err := run(set); err != nil {
			return err
		}
	}
	return nil
}
