// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package proxy

// await waits until there is something to read: on Windows the runtime waits for that when it is told that a connection
// had nothing.
func (c tcpConn) await() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var waited bool
	return raw.Read(func(uintptr) bool {
		defer func() { waited = true }()
		return waited
	})
}
