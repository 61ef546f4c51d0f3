// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// lookTimeout bounds one look at the pods.
	lookTimeout = 5 * time.Second
	// lookPause is between two looks, however many there is reason for.
	lookPause = 100 * time.Millisecond
)

// look looks at the pods again and again, and at once when there is reason to, until ctx ends.
func (p *Pool) look(ctx context.Context) {
	for ctx.Err() == nil {
		p.mu.Lock()
		p.begun++
		p.mu.Unlock()
		pods, err := p.find(ctx)
		p.found(ctx, pods, err)
		pause(ctx, lookPause)
		timer := time.NewTimer(p.every - lookPause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-p.poked:
		}
		timer.Stop()
	}
}

func (p *Pool) find(ctx context.Context) ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	return p.target.Find(ctx)
}

// found takes note of the pods. When they could not be looked at, those that there were count on.
func (p *Pool) found(ctx context.Context, pods []corev1.Pod, err error) {
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.changedLocked()
	p.done = p.begun
	if err != nil {
		p.unseen = fmt.Errorf("looking for the pods of %s: %w", p.target.Name, err)
		return
	}
	p.unseen = nil
	usable := make(map[types.UID]*corev1.Pod, len(pods))
	p.pods, p.lack = p.pods[:0:0], ""
	clear(p.uids)
	for i := range pods {
		pod := &pods[i]
		if p.target.takes(pod) {
			p.pods = append(p.pods, pod)
			usable[pod.UID] = pod
			p.uids[pod.UID] = true
		}
	}
	// The order stays, whatever order they are listed in.
	slices.SortStableFunc(p.pods, func(a, b *corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	if len(p.pods) == 0 {
		p.lack = p.target.lack(pods)
	}
	maps.DeleteFunc(p.refused, func(uid types.UID, _ time.Time) bool { return usable[uid] == nil })
	maps.DeleteFunc(p.failing, func(uid types.UID, _ *failing) bool { return usable[uid] == nil })
	for _, l := range p.links {
		pod := usable[l.pod.UID]
		if l.leaving = pod == nil; !l.leaving {
			l.pod = pod
		}
		l.endIfIdleLocked()
	}
}

// stays looks at the pods and reports whether one takes new callers then. If that can't be found out in time, it does.
func (p *Pool) stays(ctx context.Context, pod *corev1.Pod) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	p.mu.Lock()
	wanted := p.begun + 1
	p.mu.Unlock()
	signal(p.poked)
	for {
		p.mu.Lock()
		seen, stays, changed := p.done >= wanted, p.uids[pod.UID], p.changed
		p.mu.Unlock()
		if seen {
			return stays
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return true
		}
	}
}
