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

// errNoProcess is what memory ends with if there is nobody whose it could be.
var errNoProcess = errors.New("no such process")

// memory measures a plugin, and the traffic-proxy that came with it: whichever was not there before. The cluster is on
// this machine, so that its processes are among ours.
func memory(plugin *process, c *cluster.Cluster, before []string) func(context.Context) (int64, int64, error) {
	return func(ctx context.Context) (laptop, inCluster int64, err error) {
		laptop, err = resident(plugin.cmd.Process.Pid)
		if err != nil {
			return 0, 0, err
		}
		containers, err := c.Proxies(ctx)
		if err != nil {
			return 0, 0, err
		}
		containers = slices.DeleteFunc(containers, func(id string) bool { return slices.Contains(before, id) })
		if len(containers) == 0 {
			return 0, 0, fmt.Errorf("looking for the traffic-proxy: %w", errNoProcess)
		}
		for _, id := range containers {
			pids, err := processesOf(id)
			if err != nil {
				return 0, 0, err
			}
			for _, pid := range pids {
				bytes, err := resident(pid)
				if err != nil {
					return 0, 0, err
				}
				inCluster += bytes
			}
		}
		return laptop, inCluster, nil
	}
}

// resident is how much memory a process has, in bytes.
func resident(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0, fmt.Errorf("memory of %d: %w", pid, errNoProcess)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
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
