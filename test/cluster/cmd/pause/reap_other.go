// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import "syscall"

// Only Linux has pods; this lets the module compile elsewhere.
const sigchld = syscall.Signal(0)

func reap() {}
