// SPDX-License-Identifier: Apache-2.0

//go:build unix

package plugin

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks a file for this process, unless another one has. The lock ends with the file's closing.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
