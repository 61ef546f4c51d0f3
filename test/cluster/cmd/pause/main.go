// SPDX-License-Identifier: Apache-2.0

// Command pause is the sandbox container of every pod: it holds the pod's namespaces open and reaps the orphans of a
// pod that shares its process namespace.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	child := make(chan os.Signal, 1)
	signal.Notify(child, sigchld)
	for {
		select {
		case <-stop:
			return
		case <-child:
			reap()
		}
	}
}
