// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"cmp"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// duplex is a connection whose directions end one by one.
type duplex interface {
	io.ReadWriteCloser
	// pass waits for something to read, and has it taken. While it waits it has no buffer.
	pass(take func(net.Buffers)) error
	// CloseWrite ends what is sent; the other direction goes on.
	CloseWrite() error
	// abort ends both directions so that the other side sees a broken connection, not an end of data.
	abort()
}

// tcpConn is a duplex over TCP.
type tcpConn struct{ *net.TCPConn }

func (c tcpConn) abort() {
	// Without lingering, closing sends a reset. Errors mean that the connection is gone, as it should be.
	_ = c.SetLinger(0)
	_ = c.Close()
}

// relayBuffer is how much is read at once.
const relayBuffer = 64 << 10

var relayBuffers = sync.Pool{New: func() any { return new([relayBuffer]byte) }}

// splice carries bytes between the two sides of c until both directions have ended, and closes both.
func splice(c *connection) {
	answered := make(chan error, 1)
	go func() { answered <- c.carry(c.client, c.server, c.sawServer) }()
	err := c.carry(c.server, c.client, c.sawClient)
	if err = cmp.Or(err, <-answered); err != nil && !c.ended.Load() {
		c.client.abort()
		c.server.abort()
		return
	}
	// Both sides have been told the end of data already; what can fail here has nobody left to be told.
	_ = c.client.Close()
	_ = c.server.Close()
}

// carry copies from src to dst until src ends. A broken src breaks the whole connection. A dst that no longer takes
// data doesn't: what it has to say may still be on its way, and its own direction will end.
func (c *connection) carry(dst, src duplex, saw func(time.Time)) error {
	writeErr, readErr := c.relay(dst, src, saw)
	switch {
	case errors.Is(readErr, io.EOF):
		// Fails only where dst is gone, and then its own direction says so.
		_ = dst.CloseWrite()
		return nil
	case readErr != nil && c.ended.Load():
		return nil
	case readErr != nil:
		c.client.abort()
		c.server.abort()
		return readErr
	}
	return writeErr
}

// relay passes on what src has to say until it, or dst, has ended.
func (c *connection) relay(dst io.Writer, src duplex, saw func(time.Time)) (writeErr, readErr error) {
	pass := func(data net.Buffers) {
		if c.ended.Load() {
			return
		}
		saw(time.Now())
		if _, err := data.WriteTo(dst); err != nil && !c.ended.Load() {
			writeErr = err
		}
	}
	for writeErr == nil && readErr == nil {
		readErr = src.pass(pass)
	}
	return writeErr, readErr
}
