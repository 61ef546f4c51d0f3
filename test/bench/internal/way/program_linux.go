// SPDX-License-Identifier: Apache-2.0

package way

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/cluster"
)

// Names of programs.
const (
	PluginProgram = "kubectl-velo"  // on the laptop
	ProxyProgram  = "traffic-proxy" // in the cluster
)

// A Program is one of ours that a way goes through, as it runs. The cluster is on this machine, so that its processes are
// among ours.
type Program struct {
	Name string
	PID  int
}

// errNoProcess is what looking for a program ends with if there is none.
var errNoProcess = errors.New("no such process")

// programs are a plugin, and the traffic-proxy that came with it: whichever container was not there before.
func programs(ctx context.Context, plugin *process, c *cluster.Cluster, before []string) ([]Program, error) {
	all := []Program{{PluginProgram, plugin.cmd.Process.Pid}}
	containers, err := c.Proxies(ctx)
	if err != nil {
		return nil, err
	}
	containers = slices.DeleteFunc(containers, func(id string) bool { return slices.Contains(before, id) })
	if len(containers) == 0 {
		return nil, fmt.Errorf("looking for the traffic-proxy: %w", errNoProcess)
	}
	for _, id := range containers {
		pids, err := processesOf(id)
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			all = append(all, Program{ProxyProgram, pid})
		}
	}
	return all, nil
}

// processesOf finds the processes of a container, which has a cgroup of its name.
func processesOf(container string) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(data), container) {
			continue // it has ended, or is another's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("container %s: %w", container, errNoProcess)
	}
	return pids, nil
}
