// SPDX-License-Identifier: Apache-2.0

//go:build unix

package proxy

import "syscall"

// await looks whether there is something to read, without taking it, and waits for that. Looking takes a pending error
// away, so that it must be returned from here.
func (c tcpConn) await() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		var first [1]byte
		for {
			_, _, failure = syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK)
			if failure != syscall.EINTR {
				return failure != syscall.EAGAIN
			}
		}
	})
	if err != nil {
		return err
	}
	return failure
}
