// SPDX-License-Identifier: Apache-2.0

package socketerror

import "golang.org/x/sys/windows"

const (
	errInUse     = windows.WSAEADDRINUSE
	errForbidden = windows.WSAEACCES
	errNoAddress = windows.WSAEADDRNOTAVAIL
	errRefused   = windows.WSAECONNREFUSED
)
