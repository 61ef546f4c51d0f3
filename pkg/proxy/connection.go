// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	drainTick = 10 * time.Millisecond
	// A connection that is drained must have been silent for longestQuiet at first; that shrinks to shortestQuiet over
	// quietShrinks, so that busy connections are ended in the gap between two requests.
	longestQuiet, shortestQuiet = 250 * time.Millisecond, 5 * time.Millisecond
	quietShrinks                = 2 * time.Second
	// newcomerQuiet is how long a caller that has said nothing yet is taken to be about to.
	newcomerQuiet = 2 * time.Second
)

// connection is a caller on one side and whoever answers it on the other.
type connection struct {
	client, server duplex
	began          time.Time
	// When each side was last heard, in Unix nanoseconds; 0 before that.
	heardClient, heardServer atomic.Int64
	// ended says that a drain has ended the connection.
	ended atomic.Bool
}

// end ends the connection from here: an end of data, not a break, which a keep-alive caller takes as the end of the
// connection. What the caller has sent meanwhile, without having heard of it, is dropped: it will see that it was never
// answered and send it again, and it must not have been acted on then.
func (c *connection) end() {
	c.ended.Store(true)
	// It fails only where the connection has ended by itself.
	_ = c.server.CloseWrite()
	_ = c.client.CloseWrite()
}

func (c *connection) sawClient(t time.Time) { c.heardClient.Store(t.UnixNano()) }
func (c *connection) sawServer(t time.Time) { c.heardServer.Store(t.UnixNano()) }

// settled reports whether ending the connection now would interrupt nothing: the caller is not waiting for an answer,
// and neither side has said anything for as long as quiet. It holds between the requests of a keep-alive connection.
func (c *connection) settled(now time.Time, quiet time.Duration) bool {
	client, server := c.heardClient.Load(), c.heardServer.Load()
	if client == 0 {
		return now.Sub(c.began) > newcomerQuiet && now.Sub(time.Unix(0, server)) > quiet
	}
	return client <= server && now.Sub(time.Unix(0, server)) > quiet
}

// quietAfter returns how silent a connection must have been when a drain has gone on for so long.
func quietAfter(elapsed time.Duration) time.Duration {
	left := max(0, 1-elapsed.Seconds()/quietShrinks.Seconds())
	return shortestQuiet + time.Duration(left*float64(longestQuiet-shortestQuiet))
}

// connections are the ones that one end has at the moment, from the decision to serve a caller on.
type connections struct {
	mu       sync.Mutex
	draining bool
	broken   bool // the drain is over: what comes now comes too late
	admitted int
	carried  map[*connection]struct{}
}

// admit reports whether another connection may begin. Each that may is followed by a release.
func (cs *connections) admit() bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.draining {
		return false
	}
	cs.admitted++
	return true
}

func (cs *connections) release() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.admitted--
}

// carry splices client and server until both have ended.
func (cs *connections) carry(client, server duplex) {
	c := &connection{client: client, server: server, began: time.Now()}
	if !cs.add(c) {
		client.abort()
		server.abort()
		return
	}
	defer cs.remove(c)
	splice(c)
}

func (cs *connections) add(c *connection) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.broken {
		return false
	}
	if cs.carried == nil {
		cs.carried = make(map[*connection]struct{})
	}
	cs.carried[c] = struct{}{}
	return true
}

func (cs *connections) remove(c *connection) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.carried, c)
}

// drain admits no further connection, ends those there are one after the other as they settle, and whatever is left
// when ctx ends. It returns the number of those that it had to break.
func (cs *connections) drain(ctx context.Context) int {
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	began := time.Now()
	for {
		if cs.endSettled(quietAfter(time.Since(began))) == 0 {
			return 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return cs.breakAll()
		}
	}
}

// endSettled ends the connections that nobody would miss and returns how many there still are.
func (cs *connections) endSettled(quiet time.Duration) int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.draining = true
	now := time.Now()
	for c := range cs.carried {
		if !c.ended.Load() && c.settled(now, quiet) {
			c.end()
		}
	}
	return cs.admitted
}

func (cs *connections) breakAll() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.broken = true
	for c := range cs.carried {
		c.client.abort()
		c.server.abort()
	}
	return cs.admitted
}
