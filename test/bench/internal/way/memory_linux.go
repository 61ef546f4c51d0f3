// SPDX-License-Identifier: Apache-2.0

package way

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memory measures a way's programs, those on the laptop and those in the cluster.
func memory(programs []Program) func() (laptop, inCluster int64, err error) {
	return func() (laptop, inCluster int64, err error) {
		for _, p := range programs {
			bytes, err := resident(p.PID)
			if err != nil {
				return 0, 0, err
			}
			if p.Name == PluginProgram {
				laptop += bytes
			} else {
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
