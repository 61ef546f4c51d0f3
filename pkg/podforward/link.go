// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// pingEvery is how often a connection is asked for a sign of life, which keeps it from being cut for being idle, too.
	pingEvery = 5 * time.Second
	// pingTimeout is how long the sign may take before new callers are given to another connection.
	pingTimeout = 4 * time.Second
	// silence is how long a connection may be without one before it is given up, with the callers that it has. Until then
	// there may be a reason: a pod that doesn't read what a caller sends stops the signs, too.
	silence = time.Minute
	// suspicion is the same after the machine has slept, or has come into another network: nothing comes back from that.
	suspicion = 3 * time.Second
	// openTimeout is how long a pod's node may take to agree to a caller.
	openTimeout = 4 * time.Second
)

// link is a connection to a pod in a pool. Its fields are guarded by the pool's lock, if not constant.
type link struct {
	pool   *Pool
	pod    *corev1.Pod // as it was found last
	conn   Connection
	burden burden

	callers int
	leaving bool // its pod takes no new callers
	silent  bool // it owes a sign of life
	removed bool
	suspect bool // it has to answer at once

	idle chan struct{} // has an element when it leaves and has no callers
	// probes has an element when it is to show that it lives.
	probes chan struct{}
}

// good reports whether it is for new callers.
func (l *link) good() bool { return !l.leaving && !l.silent && !l.removed && !l.burden.heavy() }

// open opens a stream for a caller. When it fails, nothing has been sent.
func (l *link) open(ctx context.Context, port uint16) (Stream, error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s, err := l.conn.Open(opening, port)
	if err != nil && ctx.Err() == nil {
		l.pool.doubt(l)
	}
	return s, err
}

// release takes note that a caller has ended.
func (l *link) release() {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	l.callers--
	l.endIfIdleLocked()
}

func (l *link) endIfIdleLocked() {
	if l.leaving && l.callers == 0 {
		signal(l.idle)
	}
}

// keep sees to the connection until it breaks, isn't needed any more, or ctx ends, and closes it.
func (l *link) keep(ctx context.Context) {
	defer l.conn.Close()
	ticks := time.NewTicker(pingEvery)
	defer ticks.Stop()
	heard := time.Now()
	for {
		patience := silence
		select {
		case <-ctx.Done():
			return
		case <-l.conn.Done():
			return
		case <-l.idle:
			return
		case <-l.probes:
			if l.pool.suspects(l) {
				patience = suspicion
			}
		case <-ticks.C:
		}
		if l.answers(ctx, min(pingTimeout, patience)) {
			heard = time.Now()
			l.pool.setSilent(l, false)
			continue
		}
		if patience == suspicion || time.Since(heard) >= silence {
			return
		}
		l.pool.setSilent(l, true)
	}
}

func (l *link) answers(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return l.conn.Ping(ctx) == nil
}

// signal wakes whoever waits for a channel with room for one element.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has been told already
	}
}

// current returns the pod as it was found last.
func (l *link) current() *corev1.Pod {
	l.pool.mu.Lock()
	defer l.pool.mu.Unlock()
	return l.pod
}
