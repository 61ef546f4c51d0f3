// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"time"
)

// watchSession calls Abandoned whenever there has been no session for the grace, until ctx ends. A session that comes
// back meanwhile ends the call's context.
func (p *Proxy) watchSession(ctx context.Context) {
	if p.cfg.Abandoned == nil {
		return
	}
	for ctx.Err() == nil {
		if p.hasSession() {
			select {
			case <-p.changed:
			case <-ctx.Done():
			}
			continue
		}
		grace := time.NewTimer(p.cfg.Grace)
		select {
		case <-grace.C:
			p.abandon(ctx)
		case <-p.changed:
		case <-ctx.Done():
		}
		grace.Stop()
	}
}

// abandon runs Abandoned until it returns, and then waits for a session to come after all.
func (p *Proxy) abandon(ctx context.Context) {
	p.cfg.Log.Warn("no session", "for", p.cfg.Grace)
	abandoned, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.cfg.Abandoned(abandoned)
	}()
	for !p.hasSession() && ctx.Err() == nil {
		select {
		case <-p.changed:
		case <-ctx.Done():
		}
	}
	cancel()
	<-done
}

func (p *Proxy) hasSession() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isOn()
}
