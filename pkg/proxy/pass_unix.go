// SPDX-License-Identifier: Apache-2.0

//go:build unix

package proxy

import (
	"io"
	"net"
	"os"
	"syscall"
)

// pass reads as soon as there is something. It borrows a buffer for the moment of each try, which costs no more calls of the
// system than waiting with one.
func (c tcpConn) pass(take func(net.Buffers)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var buf *[relayBuffer]byte
	var n int
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		buf = relayBuffers.Get().(*[relayBuffer]byte)
		for {
			if n, failure = syscall.Read(int(fd), buf[:]); failure != syscall.EINTR {
				break
			}
		}
		if failure == syscall.EAGAIN {
			relayBuffers.Put(buf)
			return false
		}
		return true
	})
	if err != nil {
		return err
	}
	defer relayBuffers.Put(buf)
	switch {
	case failure != nil:
		return os.NewSyscallError("read", failure)
	case n == 0:
		return io.EOF
	}
	take(net.Buffers{buf[:n]})
	return nil
}
