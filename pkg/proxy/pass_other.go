// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package proxy

import "net"

// pass waits until there is something to read before it borrows a buffer: on Windows the runtime waits for that when it is
// told that a connection had nothing.
func (c tcpConn) pass(take func(net.Buffers)) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var waited bool
	err = raw.Read(func(uintptr) bool {
		defer func() { waited = true }()
		return waited
	})
	if err != nil {
		return err
	}
	buf := relayBuffers.Get().(*[relayBuffer]byte)
	defer relayBuffers.Put(buf)
	n, err := c.Read(buf[:])
	if n > 0 {
		take(net.Buffers{buf[:n]})
	}
	return err
}
