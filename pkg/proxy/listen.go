// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// acceptRetry is how long to wait after accept fails for want of something, file descriptors say.
const acceptRetry = 50 * time.Millisecond

// acceptAll gives every connection of l to serve, on a goroutine of its own, until l is closed or ctx ends. It returns
// when all of them have returned.
func acceptAll(ctx context.Context, l net.Listener, serve func(context.Context, tcpConn)) error {
	var g errgroup.Group
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return g.Wait()
		case err != nil:
			if !wait(ctx, acceptRetry) {
				return g.Wait()
			}
			continue
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			_ = conn.Close()
			return fmt.Errorf("a listener of %T, not of TCP", conn)
		}
		g.Go(func() error {
			serve(ctx, tcpConn{tcp})
			return nil
		})
	}
}

// wait returns true after d, or false as soon as ctx ends.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// closers are closed together, once.
type closers struct {
	mu  sync.Mutex
	all []io.Closer
}

func (c *closers) add(closer io.Closer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, closer)
}

func (c *closers) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, closer := range c.all {
		_ = closer.Close() // listeners: closed is all they can be
	}
	c.all = nil
}
