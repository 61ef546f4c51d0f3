// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command bench measures kubectl velo beside the direct way and kubectl port-forward, on the cluster of test/cluster:
// see README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A second signal ends the process at once. What it started in namespaces of its own goes with it.
	context.AfterFunc(ctx, stop)

	err := newCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "✗ error:", err)
	if hinted := (*hintError)(nil); errors.As(err, &hinted) {
		fmt.Fprintln(os.Stderr, "hint:", hinted.hint)
	}
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}
