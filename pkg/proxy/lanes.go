// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"net"
	"time"

	backoff "k8s.io/apimachinery/pkg/util/wait"
)

const (
	// lanes is how many transports a tunnel uses at once. What one connection carries is bounded by its windows over the
	// round trip, and waits as a whole for a packet that was lost; the first is kept free for what is small. The others are
	// more than the four that a browser or a download manager has, so that those are no slower than without the tunnel.
	lanes = 6
	// maxLanes is how many a proxy takes.
	maxLanes = 16
	// redialDeadline bounds each try to open a transport again.
	redialDeadline = 10 * time.Second
	// steadyAfter is how long a transport must have lasted for its end to be taken as a new trouble.
	steadyAfter = time.Second
)

// keepLane keeps one of the tunnel's lanes: at once, when it has broken, and then in growing intervals. It returns when
// ctx ends, or the tunnel has.
func (t *Tunnel) keepLane(ctx context.Context, lane int) {
	var conn net.Conn
	if lane == 0 {
		conn = t.first
	}
	pause := newPause()
	for ctx.Err() == nil && t.mux.Err() == nil {
		if conn == nil {
			conn = t.redial(ctx, lane)
		}
		if conn != nil {
			began := time.Now()
			// Why it broke doesn't matter: what is done about it is the same.
			_ = t.mux.Carry(ctx, lane, conn)
			conn = nil
			if time.Since(began) > steadyAfter {
				pause = newPause()
				continue
			}
		}
		select {
		case <-time.After(pause.Step()):
		case <-t.mux.Done():
		case <-ctx.Done():
		}
	}
}

// redial returns a new connection, or nil. A proxy that doesn't know the tunnel any more ends it.
func (t *Tunnel) redial(ctx context.Context, lane int) net.Conn {
	ctx, cancel := context.WithTimeout(ctx, redialDeadline)
	defer cancel()
	conn, err := t.dial(ctx, lane, true)
	if errors.Is(err, errUnknownTunnel) || errors.Is(err, ErrRejected) || errors.Is(err, ErrVersion) {
		t.mux.Close()
	}
	return conn
}

func newPause() *backoff.Backoff {
	return &backoff.Backoff{Duration: 50 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 1 << 20, Cap: 2 * time.Second}
}

// lanesChanged tells the session of the last transport's end and of the first one's return.
func (t *Tunnel) lanesChanged() {
	connected := t.mux.Lanes() > 0
	if t.connected.Swap(connected) != connected && t.session.Changed != nil && !t.ending.Load() {
		t.session.Changed(connected)
	}
}
