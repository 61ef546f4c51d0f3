// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/pathcheck"
)

// lastLook is how much longer the look at a Service's production path may take than what else is done to end an intercept.
const lastLook = 500 * time.Millisecond

// lookBehind looks at the production path of the Service once that has its own selector again, while the rest is undone. What
// it returns waits for that, for a short time, and says what is broken: callers had no such trouble with the intercept.
func (s *session) lookBehind(ctx context.Context) (say func()) {
	static, live, err := s.pathLookers()
	if err != nil {
		return func() {} // what had to be said of it, has been
	}
	b := &bypass{static: static, live: live, paths: func(context.Context) ([]pathcheck.Target, error) {
		return []pathcheck.Target{{Kind: pathcheck.KindService, Namespace: s.namespace, Name: s.name}}, nil
	}}
	for _, port := range s.ports {
		b.ports = append(b.ports, portNumber(port.Port))
	}
	ctx, cancel := endOfBypass(ctx, s.options.interrupts)
	found := make(chan []string, 1)
	go func() { found <- b.settled(ctx) }()
	return func() {
		defer cancel()
		defer time.AfterFunc(lastLook, cancel).Stop()
		means := "callers meet again what it went past (see '" + s.verifyCommand(s.name) + "')"
		s.report.bypasses("the intercept was a bypass", means, <-found)
	}
}

// settled looks until nothing is broken, or ctx ends, and returns what was broken last.
func (b *bypass) settled(ctx context.Context) (broken []string) {
	for {
		again, err := b.look(ctx, true)
		switch {
		case err != nil && len(again) == 0:
			return broken
		case len(again) == 0:
			return nil
		}
		broken = again
		if !pauseFor(ctx, againAfter) {
			return broken
		}
	}
}
