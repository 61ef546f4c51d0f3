// SPDX-License-Identifier: Apache-2.0

package livesession

import "io/fs"

// ofThisUser leaves the question to the directory's access list.
func ofThisUser(fs.FileInfo) bool { return true }
