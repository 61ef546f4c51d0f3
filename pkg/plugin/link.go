// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"sync"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
)

// link is a session's tunnel: none, or the one that is open or was cut last. Tunnels outlive the context they are opened
// with, so that nothing in them is cut while the session is being undone; they end with close.
type link struct {
	cut func() // called when a tunnel has ended by itself

	mu     sync.Mutex
	tunnel *proxy.Tunnel
	pod    string
	alive  bool
	end    context.CancelFunc

	serving sync.WaitGroup
}

func newLink(cut func()) *link { return &link{cut: cut} }

// open opens a tunnel in the place of the one before, and returns how many connections went to the cluster meanwhile.
func (l *link) open(ctx context.Context, transport proxy.Transport, pod string, session proxy.Session) (passed int64, err error) {
	l.close()
	t, err := proxy.Connect(ctx, transport, session)
	if err != nil {
		return 0, fmt.Errorf("opening the tunnel: %w", err)
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
			l.cut()
		}
	})
	return t.Passed, nil
}

// to reports whether a tunnel to the pod is open.
func (l *link) to(pod string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alive && l.pod == pod
}

// isOpen reports whether a tunnel is open.
func (l *link) isOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alive
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
