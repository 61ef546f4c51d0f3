// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
)

// lockAddress is an abstract socket: it goes with whoever listens, whichever way that ends.
const lockAddress = "@kubectl-velo-benchmark"

// require sees to it that a run can begin. The lock keeps others from running at the same time.
func require(ctx context.Context, log io.Writer) (lock io.Closer, err error) {
	if os.Geteuid() != 0 {
		return nil, &hintError{errors.New("network namespaces need root"), "try again with sudo"}
	}
	lock, err = new(net.ListenConfig).Listen(ctx, "unix", lockAddress)
	if err != nil {
		return nil, fmt.Errorf("another benchmark is running: %w", err)
	}
	if err := requireWrk(ctx, log); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// requireWrk installs wrk where it is missing and can be had.
func requireWrk(ctx context.Context, log io.Writer) error {
	if _, err := exec.LookPath("wrk"); err == nil {
		return nil
	}
	const hint = "install wrk: https://github.com/wg/wrk"
	if _, err := exec.LookPath("apt-get"); err != nil {
		return &hintError{errors.New("wrk is missing, and there is no apt-get to install it with"), hint}
	}
	fmt.Fprintln(log, "► installing wrk")
	install := exec.CommandContext(ctx, "apt-get", "install", "-y", "wrk")
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := install.CombinedOutput(); err != nil {
		return &hintError{fmt.Errorf("installing wrk: %w: %s", err, out), hint}
	}
	return nil
}
