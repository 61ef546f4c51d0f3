// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"sync"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/pathcheck"
)

const (
	// pathEvery is how often the production paths of a forward's targets are looked at, and liveEvery in how many of these
	// looks requests are sent, too, while all is well.
	pathEvery = 30 * time.Second
	liveEvery = 10
	// pathTargets is how many targets are looked at in a row. Of more, each has its turn, and no requests are sent.
	pathTargets = 10
	// doubtful is how long after a path was found broken, while a session runs, it is looked at again: pods come and go.
	doubtful = 5 * time.Second
)

// bypassOf returns the bypass that a target is, with those who look at its paths.
func (s *forwardSession) bypassOf(target *forwardTarget, static, live *pathcheck.Checker) *bypass {
	return &bypass{static: static, live: live, paths: func(ctx context.Context) ([]pathcheck.Target, error) {
		if target.service != nil {
			name := target.service.current().Name
			return []pathcheck.Target{{Kind: pathcheck.KindService, Namespace: s.namespace, Name: name}}, nil
		}
		pods, err := target.Find(ctx)
		if err != nil {
			return nil, err
		}
		return static.ServicesFor(ctx, s.namespace, pods)
	}}
}

// watchPaths looks at the production paths again and again, and says when one has broken, or was mended, until ctx ends.
func (s *forwardSession) watchPaths(ctx context.Context) {
	means := "closing this terminal brings the outage back"
	if len(s.options.command) > 0 {
		means = "the outage is back when the command ends"
	}
	few := len(s.targets) <= pathTargets
	next := 0
	for look := 0; ; look++ {
		n := len(s.targets)
		if look > 0 {
			n = min(n, pathTargets)
		}
		for range n {
			target := s.targets[next%len(s.targets)]
			next++
			s.lookAgain(ctx, target, few && look%liveEvery == 0, look == 0, means)
		}
		if !pauseFor(ctx, pathEvery) {
			return
		}
	}
}

// lookAgain looks at the paths of a target and says what has changed. That a path has broken is doubted, but at first.
func (s *forwardSession) lookAgain(ctx context.Context, target *forwardTarget, live, first bool, means string) {
	known, since := target.bypass.known()
	live = live || len(known) > 0 && len(s.targets) <= pathTargets // which tell what nothing else does
	look := func() ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, pathPatience)
		defer cancel()
		return target.bypass.look(ctx, live)
	}
	broken, err := look()
	if len(broken) > 0 && len(known) == 0 && !first {
		if !pauseFor(ctx, doubtful) {
			return
		}
		broken, err = look()
	}
	if ctx.Err() != nil || err != nil && len(broken) == 0 {
		return // it isn't known
	}
	if !target.bypass.note(broken) {
		return
	}
	if len(broken) > 0 {
		s.report.bypasses("this forward is a bypass", means, broken)
		return
	}
	s.report.is("the production path of %s works again, after %v", target.Name, time.Since(since).Round(time.Second))
}

// pauseFor waits, and reports whether ctx goes on.
func pauseFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// sayBypassed says which paths are broken now that the session has ended.
func (s *forwardSession) sayBypassed(ctx context.Context) {
	ctx, cancel := endOfBypass(ctx, s.options.interrupts)
	defer cancel()
	broken := make([][]string, len(s.targets))
	var looks sync.WaitGroup
	for i, target := range s.targets {
		looks.Go(func() { broken[i] = target.bypass.atEnd(ctx) })
	}
	looks.Wait()
	for i, target := range s.targets {
		means := "it is closed now, and nothing was mended"
		if target.service != nil {
			means += " (see '" + s.verifyCommand(target.service.current().Name) + "')"
		}
		s.report.bypasses("this forward was a bypass", means, broken[i])
	}
}

// explainLack says, once, why a Service has no pods, if that is to be found out.
func (s *forwardSession) explainLack(ctx context.Context, target *forwardTarget) {
	if target.service == nil || target.explained {
		return
	}
	target.explained = true
	ctx, cancel := context.WithTimeout(ctx, pathPatience)
	defer cancel()
	broken, _ := target.bypass.look(ctx, false) // what can't be found out, isn't said
	for _, line := range broken[:min(len(broken), saidPaths)] {
		s.report.warns("%s", line)
	}
}
