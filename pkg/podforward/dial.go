// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"cmp"
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// dialTimeout bounds one attempt to connect to a pod.
	dialTimeout = 10 * time.Second
	// dials is how many attempts there are at a time, with the pauses after those that have failed.
	dials = 3
)

// failing is a pod that can't be connected to.
type failing struct {
	times   int
	backoff wait.Backoff
}

func newFailing() *failing {
	return &failing{backoff: wait.Backoff{
		Duration: 100 * time.Millisecond, Factor: 1.6, Jitter: 0.3, Steps: 1 << 20, Cap: time.Second,
	}}
}

// next returns the pod to connect to next, which counts as being dialled from then on, or nil if there are enough.
func (p *Pool) next() *corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	type prospect struct {
		pod             *corev1.Pod
		links, failures int
	}
	// Enough counts what new callers can be given to, now or in a moment; idle is whether some of it has none.
	all, dialling, enough, idle := make([]prospect, 0, len(p.pods)), 0, 0, false
	for _, pod := range p.pods {
		one := prospect{pod: pod, links: p.dialling[pod.UID]}
		dialling += one.links
		if fails := p.failing[pod.UID]; fails != nil {
			one.failures = fails.times
		} else if one.links > 0 {
			enough, idle = enough+one.links, true
		}
		for _, l := range p.links {
			if l.pod.UID == pod.UID && l.good() {
				one.links++
				enough++
				idle = idle || l.callers == 0
			}
		}
		all = append(all, one)
	}
	if len(all) == 0 || dialling >= dials || len(p.links) >= maxLinks {
		return nil
	}
	best := slices.MinFunc(all, func(a, b prospect) int {
		return cmp.Or(cmp.Compare(a.failures, b.failures), cmp.Compare(a.links, b.links))
	})
	wanted := enough < standing && best.links < perPod || // a pod each, if there are so many
		!idle && enough < spread && best.links == 0
	if !wanted {
		return nil
	}
	p.dialling[best.pod.UID]++
	return best.pod
}

// dial connects to a pod and keeps the connection. If it can't, it waits for a moment, in which the pod counts as being
// dialled.
func (p *Pool) dial(ctx context.Context, pod *corev1.Pod) {
	l, again := p.connect(ctx, pod)
	if l == nil {
		pause(ctx, again)
	}
	p.dialled(pod)
	if l != nil {
		l.keep(ctx)
		p.remove(ctx, l)
	}
}

// connect connects to a pod, or returns how long to wait before the next attempt.
func (p *Pool) connect(ctx context.Context, pod *corev1.Pod) (l *link, again time.Duration) {
	conn, err := p.tryConnect(ctx, pod.Name)
	switch {
	case ctx.Err() != nil, err == nil && !p.knows(pod):
		if err == nil {
			_ = conn.Close() // nothing has gone over it
		}
		return nil, 0
	case err != nil:
		return nil, p.fails(pod, err)
	}
	return p.admit(pod, conn), 0
}

// knows reports whether a pod still takes new callers.
func (p *Pool) knows(pod *corev1.Pod) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.uids[pod.UID]
}

// fails takes note that a pod can't be connected to, and returns how long to wait before the next attempt.
func (p *Pool) fails(pod *corev1.Pod, err error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.changedLocked()
	signal(p.poked) // it may be about the pod
	p.unmet = err
	fails := p.failing[pod.UID]
	if fails == nil {
		fails = newFailing()
		p.failing[pod.UID] = fails
	}
	fails.times++
	return fails.backoff.Step()
}

// admit takes a connection into the pool.
func (p *Pool) admit(pod *corev1.Pod, conn Connection) *link {
	l := &link{pool: p, pod: pod, conn: conn, idle: make(chan struct{}, 1), probes: make(chan struct{}, 1)}
	l.burden.changed = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changedLocked()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.failing, pod.UID)
	p.unmet = nil
	l.leaving = !p.uids[pod.UID]
	l.endIfIdleLocked()
	p.links = append(p.links, l)
	if p.missing > 0 {
		p.missing--
		p.reconnects++
	}
	p.changedLocked()
	return l
}

func (p *Pool) tryConnect(ctx context.Context, pod string) (Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return p.connector.Connect(ctx, pod)
}

// dialled takes note that an attempt is over.
func (p *Pool) dialled(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialling[pod.UID]--
	if p.dialling[pod.UID] == 0 {
		delete(p.dialling, pod.UID)
	}
	p.changedLocked()
}

// remove takes a connection out that is over.
func (p *Pool) remove(ctx context.Context, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.removed = true
	p.links = slices.DeleteFunc(p.links, func(other *link) bool { return other == l })
	if ctx.Err() == nil {
		p.missing++
		signal(p.poked) // its pod may have gone
	}
	p.changedLocked()
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
