// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

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
	opened chan struct{} // closed with the next tunnel

	serving sync.WaitGroup
}

// awaitTunnel is how long a connection to a dependency waits for a tunnel.
const awaitTunnel = 10 * time.Second

var errNoTunnel = errors.New("there is no tunnel to the cluster")

func newLink(ended func()) *link { return &link{ended: ended, opened: make(chan struct{})} }

// open opens a tunnel in the place of the one before.
func (l *link) open(ctx context.Context, transport proxy.Transport, pod string, session proxy.Session) error {
	l.close()
	session.Version = Version
	t, err := proxy.Connect(ctx, transport, session)
	if err != nil {
		return fmt.Errorf("opening the tunnel: %w", mismatched(err))
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	l.mu.Lock()
	l.tunnel, l.pod, l.alive, l.end = t, pod, true, end
	close(l.opened)
	l.opened = make(chan struct{})
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

// use returns the tunnel, waiting for one if need be.
func (l *link) use(ctx context.Context) (*proxy.Tunnel, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, awaitTunnel, errNoTunnel)
	defer cancel()
	for {
		l.mu.Lock()
		t, alive, opened := l.tunnel, l.alive, l.opened
		l.mu.Unlock()
		if alive {
			return t, nil
		}
		select {
		case <-opened:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// roundTrip returns how long the way to the traffic-proxy and back takes, or 0 if that isn't known.
func (l *link) roundTrip() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.alive {
		return 0
	}
	return l.tunnel.RoundTrip()
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
