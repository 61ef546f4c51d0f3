// SPDX-License-Identifier: Apache-2.0

// Package relay carries TCP connections from one network namespace into another. It needs no privilege and no code for
// it: a listener stays in the namespace it was opened in, a dial starts in the one its process is in.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const dialTimeout = 5 * time.Second

// Inherited returns the count listeners that this process was started with, from descriptor 3 on.
func Inherited(count int) ([]net.Listener, error) {
	var listeners []net.Listener
	for i := range count {
		f := os.NewFile(uintptr(3+i), fmt.Sprintf("listener %d", i))
		l, err := net.FileListener(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("taking over listener %d: %w", i, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// Serve carries each connection that l accepts to target, until ctx ends.
func Serve(ctx context.Context, l net.Listener, target string) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting for %s: %w", target, err)
		}
		conns.Go(func() { carry(ctx, conn.(*net.TCPConn), target) })
	}
}

// carry passes on bytes, the end of either direction, and the breaking off of the whole. Go sets TCP_NODELAY on both.
func carry(ctx context.Context, near *net.TCPConn, target string) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		abort(near)
		return
	}
	far := conn.(*net.TCPConn)
	stop := context.AfterFunc(ctx, func() { abort(near); abort(far) })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { pipe(far, near) })
	both.Go(func() { pipe(near, far) })
	both.Wait()
	near.Close()
	far.Close()
}

// pipe copies one direction and passes on how it ended: with its end, or, if either side broke off, for both.
func pipe(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		abort(to)
		abort(from)
		return
	}
	if err := to.CloseWrite(); err != nil {
		abort(from)
	}
}

// abort closes a connection so that its peer sees a reset, not an orderly end.
func abort(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}
