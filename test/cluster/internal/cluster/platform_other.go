// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package cluster

import (
	"errors"
	"syscall"
)

// Preflight turns every other system away before any of this is reached; it is here so that the program, whose image
// command works everywhere, compiles everywhere.

var errAddrInUse = errors.ErrUnsupported

func detached() *syscall.SysProcAttr { return nil }
func unmount(string) error           { return errors.ErrUnsupported }
func inode(string) (uint64, error)   { return 0, errors.ErrUnsupported }
func kernelRelease() string          { return "" }
