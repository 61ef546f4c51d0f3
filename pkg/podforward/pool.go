// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// standing is how many connections a pool has at least: one in use, and one that was dialled ahead.
	standing = 2
	// spread is how many it grows to while callers are there and pods without a connection.
	spread = 8
	// perPod is how many of them one pod has, if no caller makes them unfit for others.
	perPod = 2
	// maxLinks bounds all of them.
	maxLinks = 64
	// shunned is how long a pod that has refused a caller comes after the others.
	shunned = time.Second
)

// Pool keeps connections to the pods of a target.
type Pool struct {
	target    Target
	connector Connector
	every     time.Duration

	poked chan struct{} // has an element when the pods are to be looked at, now

	mu       sync.Mutex
	changed  chan struct{} // closed, and made anew, at every change that somebody may wait for
	pods     []*corev1.Pod // those that take new callers
	uids     map[types.UID]bool
	refused  map[types.UID]time.Time // when a pod last did
	links    []*link                 // in the order in which they were made
	dialling map[types.UID]int       // dials that go on, with the pauses after those that have failed
	failing  map[types.UID]*failing  // pods whose last dial has failed
	lack     string                  // why there are no pods, for people
	unseen   error                   // why the pods could not be looked at last
	unmet    error                   // why none could be connected to last
	begun    int64                   // looks, and how many of them
	done     int64                   // have come to an end

	state      State
	reason     string
	since      time.Time
	missing    int // connections that have gone and were not replaced yet
	reconnects int64
}

// NewPool returns a pool that looks at the pods every so often.
func NewPool(target Target, connector Connector, every time.Duration) *Pool {
	return &Pool{
		target: target, connector: connector, every: every,
		poked: make(chan struct{}, 1), changed: make(chan struct{}),
		uids: make(map[types.UID]bool), refused: make(map[types.UID]time.Time),
		dialling: make(map[types.UID]int), failing: make(map[types.UID]*failing),
		state: Waiting, reason: "it has not been looked at yet", since: time.Now(),
	}
}

// Run keeps the pool until ctx ends, and then closes all connections.
func (p *Pool) Run(ctx context.Context) {
	var goroutines sync.WaitGroup
	defer goroutines.Wait()
	goroutines.Go(func() { p.look(ctx) })
	for {
		changed := p.Changed()
		for {
			pod := p.next()
			if pod == nil {
				break
			}
			goroutines.Go(func() { p.dial(ctx, pod) })
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// Changed returns a channel that is closed at the next change of the pool.
func (p *Pool) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// Probe has every connection show that it lives, and gives up those that don't answer at once: after the machine has slept,
// or has come into another network. Until they have answered, new callers wait.
func (p *Pool) Probe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.links {
		l.silent, l.suspect = true, true
		signal(l.probes)
	}
	p.changedLocked()
	signal(p.poked)
}

// suspects reports whether a connection has to answer at once, this time.
func (p *Pool) suspects(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	suspect := l.suspect
	l.suspect = false
	return suspect
}

// take returns the connection that a new caller is to be given to, and its pod, and counts the caller there. If there is none
// it returns nil, and a channel that is closed when there may be.
func (p *Pool) take() (*link, *corev1.Pod, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.bestLocked()
	if l == nil {
		return nil, nil, p.changed
	}
	l.callers++
	if l.callers == 1 {
		p.changedLocked() // there may have to be more of them
	}
	return l, l.pod, nil
}

// await waits for the connection that a new caller is to be given to. It returns nil if ctx ends before.
func (p *Pool) await(ctx context.Context) (*link, *corev1.Pod) {
	for {
		l, pod, changed := p.take()
		if l != nil {
			return l, pod
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// bestLocked returns the connection for a new caller: of a pod that has not just refused one, of that with the fewest
// callers, the oldest among equals, and of its connections the one with the fewest. If there is none but those that others should be
// kept away from, and no room for more, it returns one of those.
func (p *Pool) bestLocked() *link {
	callers, age := make(map[types.UID]int, len(p.links)), make(map[types.UID]int, len(p.pods))
	for i, pod := range p.pods {
		age[pod.UID] = i
	}
	for _, l := range p.links {
		callers[l.pod.UID] += l.callers
	}
	now := time.Now()
	before := func(a, b *link) bool {
		if as, bs := p.shunsLocked(a.pod, now), p.shunsLocked(b.pod, now); as != bs {
			return bs
		}
		if an, bn := callers[a.pod.UID], callers[b.pod.UID]; an != bn {
			return an < bn
		}
		if ai, bi := age[a.pod.UID], age[b.pod.UID]; ai != bi {
			return ai < bi
		}
		return a.callers < b.callers
	}
	var best, last *link
	for _, l := range p.links {
		switch {
		case l.good():
			if best == nil || before(l, best) {
				best = l
			}
		case !l.leaving && !l.silent && !l.removed:
			if last == nil || before(l, last) {
				last = l
			}
		}
	}
	if best == nil && len(p.links) >= maxLinks {
		return last
	}
	return best
}

func (p *Pool) shunsLocked(pod *corev1.Pod, now time.Time) bool {
	at, ok := p.refused[pod.UID]
	return ok && now.Sub(at) < shunned
}

// shun takes note that a pod has refused a caller, so that others are preferred for a moment, and has the pods looked at.
func (p *Pool) shun(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused[l.pod.UID] = time.Now()
	signal(p.poked)
}

// doubt has a connection show that it lives.
func (p *Pool) doubt(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.silent = true
	signal(l.probes)
	p.changedLocked()
}

func (p *Pool) setSilent(l *link, silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.silent != silent {
		l.silent = silent
		p.changedLocked()
	}
}

// changedLocked tells everybody who waits for a change, and finds out what the pool's state is now.
func (p *Pool) changedLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
	p.judgeLocked()
}
