// SPDX-License-Identifier: Apache-2.0

package profiling

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

var errStatus = errors.New("its status doesn't say its PID")

// ownPID is the PID that a process has for itself.
func ownPID(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return innermostPID(string(status))
}

// innermostPID reads /proc/PID/status (proc_pid_status(5)): NSpid has the PIDs in every PID namespace that the process is
// in, its own last.
func innermostPID(status string) (int, error) {
	_, pids, _ := strings.Cut(status, "\nNSpid:")
	pids, _, _ = strings.Cut(pids, "\n")
	fields := strings.Fields(pids)
	if len(fields) == 0 {
		return 0, errStatus
	}
	pid, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errStatus, err)
	}
	return pid, nil
}
