// SPDX-License-Identifier: Apache-2.0

// Command velo-cluster runs a real single-node Kubernetes on this machine for tests and the demo, and builds and loads
// images for it. Build it into the clone it is for:
//
//	go build -C test/cluster -o "$PWD/.cluster/bin/velo-cluster" .
//
// Data goes to stdout: status prints its table. Progress and errors go to stderr. It exits with 0, with 1 for a failure,
// with 2 for a wrong command line, and exec with what its command exits with.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A second signal ends the process at once: the next up or down cleans up.
	context.AfterFunc(ctx, stop)

	err := newCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && errors.Is(err, errCommand) {
		return exit.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "✗ error:", err)
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		fmt.Fprintln(os.Stderr, "hint:", hinted.Hint())
	}
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}
