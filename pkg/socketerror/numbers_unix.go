// SPDX-License-Identifier: Apache-2.0

//go:build unix

package socketerror

import "syscall"

const (
	errInUse     = syscall.EADDRINUSE
	errForbidden = syscall.EACCES
	errNoAddress = syscall.EADDRNOTAVAIL
	errRefused   = syscall.ECONNREFUSED
)
