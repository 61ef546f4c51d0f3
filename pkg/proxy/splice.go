// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// duplex is a connection whose directions end one by one.
type duplex interface {
	io.ReadWriteCloser
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

// Idle connections hold a small buffer each; one that is busy borrows a large one.
const (
	idleBuffer = 2 << 10
	busyBuffer = 64 << 10
)

var busyBuffers = sync.Pool{New: func() any { return new([busyBuffer]byte) }}

// splice carries bytes between the two sides of c until both directions have ended, and closes both.
func splice(c *connection) {
	var directions errgroup.Group
	directions.Go(func() error { return c.carry(c.server, c.client, c.sawClient) })
	directions.Go(func() error { return c.carry(c.client, c.server, c.sawServer) })
	if directions.Wait() != nil && !c.ended.Load() {
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
	case readErr != nil && c.ended.Load():
		return nil
	case readErr != nil:
		c.client.abort()
		c.server.abort()
		return readErr
	case writeErr != nil:
		return writeErr
	}
	// Fails only where dst is gone, and then its own direction says so.
	_ = dst.CloseWrite()
	return nil
}

func (c *connection) relay(dst io.Writer, src io.Reader, saw func(time.Time)) (writeErr, readErr error) {
	small := make([]byte, idleBuffer)
	var busy *[busyBuffer]byte
	defer func() {
		if busy != nil {
			busyBuffers.Put(busy)
		}
	}()
	buf := small
	for {
		n, err := src.Read(buf)
		if n > 0 && !c.ended.Load() {
			saw(time.Now())
			if _, err := dst.Write(buf[:n]); err != nil && !c.ended.Load() {
				return err, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			return nil, err
		case n == len(buf) && busy == nil:
			busy = busyBuffers.Get().(*[busyBuffer]byte)
			buf = busy[:]
		case n < idleBuffer && busy != nil:
			busyBuffers.Put(busy)
			busy, buf = nil, small
		}
	}
}
