// SPDX-License-Identifier: Apache-2.0

package main

import "syscall"

const sigchld = syscall.SIGCHLD

// reap collects every child that has ended: one signal may stand for several.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if pid <= 0 && err != syscall.EINTR {
			return
		}
	}
}
