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

// run wires signals: the first asks for an end in order, the second for one at once.
func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	impatient := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cancel()
		<-signals
		close(impatient)
	}()
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	return plugin.Main(ctx, impatient, streams, os.Args[1:])
}
