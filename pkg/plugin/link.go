// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
)

// linkPatience is how long a cut tunnel is dialled again before the session gives up.
const linkPatience = 2 * time.Minute

// link is a session's tunnel, kept open.
type link struct {
	transport proxy.Transport
	session   proxy.Session
	report    *report

	mu     sync.Mutex
	tunnel *proxy.Tunnel
}

// open opens the tunnel for the first time. keep has to follow.
func (l *link) open(ctx context.Context) error {
	t, err := proxy.Connect(ctx, l.transport, l.session)
	if err != nil {
		return fmt.Errorf("opening the tunnel: %w", err)
	}
	l.set(t)
	return nil
}

func (l *link) set(t *proxy.Tunnel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tunnel = t
}

func (l *link) get() *proxy.Tunnel {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tunnel
}

// keep serves the tunnel, and opens it again when it is cut, until ctx ends.
func (l *link) keep(ctx context.Context) error {
	for {
		err := l.get().Serve(ctx)
		if err == nil {
			return nil
		}
		l.report.warns("the tunnel was cut; callers are answered by the cluster until it is open again")
		if again, err := l.reopen(ctx); !again {
			return err
		}
		l.report.is("the tunnel is open again")
	}
}

// reopen opens the tunnel again and reports whether it has; the end of ctx is no error.
func (l *link) reopen(ctx context.Context) (bool, error) {
	dialing, cancel := context.WithTimeout(ctx, linkPatience)
	defer cancel()
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 1000, Cap: 5 * time.Second}
	var last error
	err := wait.ExponentialBackoffWithContext(dialing, backoff, func(ctx context.Context) (bool, error) {
		last = l.open(ctx)
		// A proxy that is another session's will not become this one's.
		if errors.Is(last, proxy.ErrRejected) {
			return false, last
		}
		return last == nil, nil
	})
	switch {
	case ctx.Err() != nil:
		return false, nil
	case err != nil && last != nil:
		return false, last
	}
	return err == nil, err
}

// drain ends the tunnel's connections in order and returns how many had to be cut.
func (l *link) drain(ctx context.Context) int {
	broken, err := l.get().Drain(ctx)
	if err != nil {
		return 0 // the tunnel is gone, and its connections with it
	}
	return broken
}
