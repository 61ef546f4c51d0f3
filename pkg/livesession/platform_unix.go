// SPDX-License-Identifier: Apache-2.0

//go:build unix

package livesession

import (
	"io/fs"
	"os"
	"syscall"
)

// ofThisUser is whether a file belongs to the user who runs this process.
func ofThisUser(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
