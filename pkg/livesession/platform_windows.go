// SPDX-License-Identifier: Apache-2.0

package livesession

import (
	"io/fs"
	"syscall"
)

// refused is the error of connecting to a socket that nobody listens at: WSAECONNREFUSED, since syscall.ECONNREFUSED is
// none that Windows returns.
const refused = syscall.Errno(10061)

// ofThisUser leaves the question to the directory's access list.
func ofThisUser(fs.FileInfo) bool { return true }
