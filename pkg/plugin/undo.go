// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-velo/kubectl-velo/pkg/routes"
	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

const (
	// undoTimeout bounds everything that is done to end a session.
	undoTimeout = 45 * time.Second
	// drainTimeout is how long the connections in the local process may take to end by themselves.
	drainTimeout = 5 * time.Second
	// releaseTimeout is how long the EndpointSlices may take to follow the restored selector.
	releaseTimeout = 5 * time.Second
)

var errImpatient = errors.New("interrupted a second time")

// undo undoes what the session has done, in reverse. It works on a context of its own, which only its deadline or a
// second interrupt ends.
func (s *session) undo(ctx context.Context) error {
	if s.spec == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-s.options.interrupts.twice():
			interrupt(errImpatient)
		case <-done:
		}
	}()

	sayBypassed := func() {}
	if s.swapped {
		if err := s.restore(ctx); err != nil {
			return s.unfinished(ctx, err)
		}
		s.letGo(ctx)
		if s.successor == "" { // else callers have the next intercept
			sayBypassed = s.lookBehind(ctx)
		}
	}
	defer sayBypassed()
	s.link.close()
	removing := s.report.undoing("removing deployment/%s", trafficproxy.DeploymentName(s.name))
	err := trafficproxy.Delete(ctx, s.client, s.namespace, trafficproxy.DeploymentName(s.name), s.id)
	removing.ends()
	if err != nil {
		return s.unfinished(ctx, err)
	}
	s.report.is("deployment/%s removed", trafficproxy.DeploymentName(s.name))
	return nil
}

// restore puts the selector back. Until that has succeeded it tries again: a network that is away for a moment must
// not leave a Service swapped.
func (s *session) restore(ctx context.Context) error {
	defer s.restoring().ends()
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 100, Cap: 2 * time.Second}
	var last error
	err := wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		restored, err := selector.Restore(ctx, s.client.CoreV1().Services(s.namespace), s.name, s.id, selector.FieldManager)
		switch {
		case err == nil:
			s.sayRestored(restored)
			return true, nil
		case errors.Is(err, selector.ErrOtherSession):
			if s.successor == "" {
				s.report.warns("service/%s is intercepted by another session by now; its selector is left alone", s.name)
			}
			return true, nil
		case apierrors.IsNotFound(err):
			s.report.warns("service/%s doesn't exist any more; there is nothing to restore", s.name)
			return true, nil
		case apierrors.IsForbidden(err), errors.Is(err, selector.ErrAnnotation):
			return false, err
		}
		last = err
		return false, nil
	})
	if err != nil && last != nil {
		err = last
	}
	if err != nil {
		return fmt.Errorf("restoring service %s/%s: %w", s.namespace, s.name, err)
	}
	return nil
}

func (s *session) restoring() *progress {
	if s.successor != "" {
		return s.report.undoing("leaving service/%s to %s", s.name, s.successor)
	}
	return s.report.undoing("restoring service/%s", s.name)
}

func (s *session) sayRestored(restored selector.Restored) {
	switch {
	case s.successor != "": // that it is left has been said
	case restored.Was == nil:
		s.report.is("service/%s is not intercepted", s.name)
	case restored.Edited:
		s.report.warns("service/%s was given another selector by somebody; that is left as it is", s.name)
	default:
		s.report.is("service/%s restored", s.name)
	}
}

// letGo waits until no new callers come and those in the local process are done. What is left of them is broken in the
// end: nothing holds a session's end up for longer.
func (s *session) letGo(ctx context.Context) {
	leaving := s.report.during("letting open connections of service/%s end", s.name)
	defer leaving.ends()
	drain, cancel := context.WithTimeout(ctx, drainTimeout)
	if broken := s.link.drain(drain); broken > 0 {
		s.report.warns("%d connections were still open after %v and have been cut", broken, drainTimeout)
	}
	cancel()
	release, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if err := routes.AwaitFrom(release, s.client.DiscoveryV1(), s.namespace, s.name, s.pod); err != nil && ctx.Err() == nil {
		// The traffic-proxy passes latecomers on to the origin pods for as long as it stands.
		s.report.warns("the cluster is slow to send callers to their pods again: %v", err)
	}
}

// unfinished says what was left and how to undo it.
func (s *session) unfinished(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errImpatient) {
		err = fmt.Errorf("%w: the intercept of service %s/%s may be left in place", cause, s.namespace, s.name)
	}
	return withHint(err, "run '%s'", s.repair())
}
