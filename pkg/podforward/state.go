// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"cmp"
	"slices"
	"time"
)

// State is what becomes of new callers.
type State string

// The states of a pool.
const (
	// Ready means that they are given to a pod.
	Ready State = "ready"
	// Waiting means that they are held.
	Waiting State = "waiting"
)

// Status is how a pool is doing.
type Status struct {
	State State
	// Reason is what it waits for, for people, and Since when the state began.
	Reason string
	Since  time.Time
	// Err is what the API server says against it, if that is why it waits.
	Err error
	// Pods are the names of those that new callers may be given to, now.
	Pods []string
	// Reconnects is how often a connection to a pod was replaced because it, or its pod, had gone.
	Reconnects int64
}

// Status returns how the pool is doing now.
func (p *Pool) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{State: p.state, Reason: p.reason, Since: p.since, Reconnects: p.reconnects}
	if p.state == Waiting {
		s.Err = cmp.Or(p.unseen, p.unmet)
	}
	for _, l := range p.links {
		if l.good() && !slices.Contains(s.Pods, l.pod.Name) {
			s.Pods = append(s.Pods, l.pod.Name)
		}
	}
	return s
}

// judgeLocked finds out what the state is.
func (p *Pool) judgeLocked() {
	state := Waiting
	if slices.ContainsFunc(p.links, (*link).good) {
		state = Ready
	}
	switch {
	case state == Ready:
		p.reason = ""
	case p.unseen != nil:
		p.reason = p.unseen.Error()
	case p.lack != "":
		p.reason = p.lack
	case p.unmet != nil:
		p.reason = p.unmet.Error()
	default:
		p.reason = "it is being connected to"
	}
	if state != p.state {
		p.state, p.since = state, time.Now()
	}
}
