// SPDX-License-Identifier: Apache-2.0

// Package socketerror tells what errors of sockets mean. Their numbers differ between systems, and on Windows nothing
// returns the ones that package syscall has under the names of Unix.
package socketerror

import "errors"

// IsInUse reports whether somebody else has the port at that address.
func IsInUse(err error) bool { return errors.Is(err, errInUse) }

// IsForbidden reports whether this user may not have the port, or nobody may.
func IsForbidden(err error) bool { return errors.Is(err, errForbidden) }

// IsNoAddress reports whether this machine doesn't have the address.
func IsNoAddress(err error) bool { return errors.Is(err, errNoAddress) }

// IsRefused reports whether nobody listens there.
func IsRefused(err error) bool { return errors.Is(err, errRefused) }
