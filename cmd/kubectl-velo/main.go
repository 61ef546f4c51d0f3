// SPDX-License-Identifier: Apache-2.0

// Command kubectl-velo is a kubectl plugin: kubectl runs it as "kubectl velo".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-velo/kubectl-velo/pkg/plugin"
)

func main() {
	os.Exit(run())
}

// run wires signals and streams.
func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	interrupts := plugin.NewInterrupts(cancel)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range signals {
			interrupts.Signal(s)
		}
	}()
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	return plugin.Main(ctx, interrupts, streams, os.Args[1:])
}
