// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// acceptRetry is how long to wait after accept fails for want of something, file descriptors say.
const acceptRetry = 50 * time.Millisecond

// Forward gives the callers of a local port to a port of a target's pods.
type Forward struct {
	pool *Pool
	port func(*corev1.Pod) (uint16, error)

	callers, sent, received atomic.Int64
	held                    atomic.Int64

	mu       sync.Mutex
	refusals Refusals
}

// Refusals are what pods have said instead of taking callers.
type Refusals struct {
	// Count is how many there were, and Last what the last one said, for people.
	Count int64
	Last  string
}

// NewForward returns a forward to the pool's pods. Port is that of a pod which callers are to reach.
func NewForward(pool *Pool, port func(*corev1.Pod) (uint16, error)) *Forward {
	return &Forward{pool: pool, port: port}
}

// Traffic is what a forward has carried.
type Traffic struct {
	// Callers is how many are there now, held ones too.
	Callers int64
	// Sent went to pods, and Received came from them, in bytes of the connections themselves.
	Sent, Received int64
	Refusals       Refusals
}

// Traffic returns what the forward has carried until now.
func (f *Forward) Traffic() Traffic {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Traffic{Callers: f.callers.Load(), Sent: f.sent.Load(), Received: f.received.Load(), Refusals: f.refusals}
}

// Serve takes the callers of all listeners until ctx ends, closes the listeners, and resets the callers that are left.
func (f *Forward) Serve(ctx context.Context, listeners ...*net.TCPListener) {
	var goroutines sync.WaitGroup
	defer goroutines.Wait()
	for _, l := range listeners {
		goroutines.Go(func() { f.accept(ctx, l, &goroutines) })
	}
	<-ctx.Done()
	for _, l := range listeners {
		_ = l.Close() // closed is all it can be
	}
}

func (f *Forward) accept(ctx context.Context, l *net.TCPListener, goroutines *sync.WaitGroup) {
	for {
		conn, err := l.AcceptTCP()
		switch {
		case err != nil && ctx.Err() != nil:
			return
		case err != nil:
			pause(ctx, acceptRetry)
			continue
		}
		goroutines.Go(func() { f.serve(ctx, conn) })
	}
}

// refused takes note that a pod has not taken a caller.
func (f *Forward) refused(pod string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refusals.Count++
	f.refusals.Last = fmt.Sprintf("pod %s: %v", pod, err)
}
