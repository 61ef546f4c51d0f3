// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"sync"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
)

// link is a session's tunnel: none, or the one that is there or was there last. Tunnels outlive the context they are opened
// with, so that nothing in them is cut while the session is being undone; they end with close.
type link struct {
	ended func() // called when a tunnel has ended by itself

	mu     sync.Mutex
	tunnel *proxy.Tunnel
	pod    string
	alive  bool
	end    context.CancelFunc

	serving sync.WaitGroup
}

func newLink(ended func()) *link { return &link{ended: ended} }

// open opens a tunnel in the place of the one before.
func (l *link) open(ctx context.Context, transport proxy.Transport, pod string, session proxy.Session) error {
	l.close()
	t, err := proxy.Connect(ctx, transport, session)
	if err != nil {
		return fmt.Errorf("opening the tunnel: %w", err)
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	l.mu.Lock()
	l.tunnel, l.pod, l.alive, l.end = t, pod, true, end
	l.mu.Unlock()
	l.serving.Go(func() {
		err := t.Serve(serving)
		l.mu.Lock()
		if l.tunnel == t {
			l.alive = false
		}
		l.mu.Unlock()
		if err != nil {
			l.ended()
		}
	})
	return nil
}

// to reports whether there is a tunnel to the pod. It may be without a connection, which it sees to by itself.
func (l *link) to(pod string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alive && l.pod == pod
}

// isConnected reports whether there is a tunnel, and it has a connection.
func (l *link) isConnected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alive && l.tunnel.Connected()
}

// probe has the tunnel find out which of its connections still work.
func (l *link) probe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alive {
		l.tunnel.Probe()
	}
}

// close ends the tunnel, if there is one, and what is still in it.
func (l *link) close() {
	l.mu.Lock()
	if l.end != nil {
		l.end()
	}
	l.alive = false
	l.mu.Unlock()
	l.serving.Wait()
}

// drain ends the tunnel's connections in order and returns how many had to be cut.
func (l *link) drain(ctx context.Context) int {
	l.mu.Lock()
	t, alive := l.tunnel, l.alive
	l.mu.Unlock()
	if !alive {
		return 0
	}
	broken, err := t.Drain(ctx)
	if err != nil {
		return 0 // the tunnel is gone, and its connections with it
	}
	return broken
}
