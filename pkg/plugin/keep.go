// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/portforward"
	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

const (
	// glanceTimeout bounds each look at the cluster while a session is kept. An API server that takes longer is as good
	// as away, and is asked again.
	glanceTimeout = 5 * time.Second
	// reassertInterval is how often a Service is intercepted again at most that somebody keeps changing.
	reassertInterval = 5 * time.Second
	// glanceInterval is how often the cluster is looked at without a reason: a watch may be dead without knowing.
	glanceInterval = 15 * time.Second
)

// endError ends a session for a reason that trying again wouldn't change.
type endError struct{ error }

func (e *endError) Unwrap() error { return e.error }

// poke has the session look at the cluster soon. Whoever notices something calls it.
func (s *session) poke() {
	select {
	case s.poked <- struct{}{}:
	default: // it will look anyway
	}
}

// keep keeps the intercept up: whenever something may have changed, it looks at everything and does what is missing.
// It returns when ctx, the child or the session ends.
func (s *session) keep(ctx context.Context, goroutines *sync.WaitGroup, child <-chan error) error {
	s.watch(ctx, goroutines)
	awake := newWakefulness(time.Now())
	network := newNetwork()
	tick := time.NewTicker(wakeTick)
	defer tick.Stop()
	backoff := newGlanceBackoff()
	again := time.NewTimer(glanceInterval)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-child:
			return err
		case <-tick.C:
			slept := awake.tick(time.Now(), s.link.isConnected())
			if slept > 0 || network.changed() {
				s.link.probe()
			}
			if !s.expires.IsZero() && time.Now().After(s.expires) {
				s.report.is("the time given with --ttl is over")
				return errOver
			}
			if slept == 0 {
				continue
			}
			s.report.warns("this machine was asleep for %v", slept.Round(time.Second))
		case <-s.poked:
		case <-again.C:
		}
		err := s.look(ctx, awake.away(time.Now()))
		awake.busy(time.Now())
		var end *endError
		switch {
		case err == nil:
			s.told = ""
			backoff = newGlanceBackoff()
			again.Reset(glanceInterval)
		case errors.As(err, &end):
			return end.error
		case ctx.Err() == nil:
			s.tell("trying again: %v", err)
			again.Reset(backoff.Step())
		}
	}
}

func newGlanceBackoff() *wait.Backoff {
	return &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.6, Jitter: 0.2, Steps: 1 << 20, Cap: 2 * time.Second}
}

// tell reports trouble once, however often it is met in a row.
func (s *session) tell(format string, args ...any) {
	if said := fmt.Sprintf(format, args...); said != s.told {
		s.told = said
		s.report.warns("%s", said)
	}
}

// look compares the cluster with what the session wants of it and takes the next steps. It is told how long the session
// has been away from its traffic-proxy.
func (s *session) look(ctx context.Context, away time.Duration) error {
	state, err := s.glance(ctx)
	if err != nil {
		return err
	}
	switch {
	case state.held != nil && state.held.Session != s.id:
		return s.succeeded(state.held.Owner)
	case state.takenOverBy != "":
		return s.succeeded(state.takenOverBy)
	case state.deployment == nil:
		return s.withoutDeployment(ctx, state, away)
	case state.service == nil:
		s.pause("was deleted")
		return nil
	}
	if err := s.settleChanges(ctx, state); err != nil {
		return err
	}
	return s.bringBack(ctx, state)
}

// succeeded ends the session in favour of another one.
func (s *session) succeeded(owner string) error {
	s.successor = owner
	return &endError{fmt.Errorf("%s has taken service %s/%s over", owner, s.namespace, s.name)}
}

// glanced is the cluster as it is now.
type glanced struct {
	service     *corev1.Service     // nil if it doesn't exist
	held        *selector.Intercept // what its annotation says
	deployment  *appsv1.Deployment  // nil if it isn't there, isn't this session's, or is being deleted
	takenOverBy string
	pod         string // a ready one of the traffic-proxy's, or none
}

func (s *session) glance(ctx context.Context) (*glanced, error) {
	ctx, cancel := context.WithTimeout(ctx, glanceTimeout)
	defer cancel()
	var state glanced
	service, err := s.client.CoreV1().Services(s.namespace).Get(ctx, s.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("reading service %s/%s: %w", s.namespace, s.name, err)
	default:
		state.service = service
		if state.held, err = selector.Of(service); err != nil {
			return nil, &endError{err}
		}
	}
	name := trafficproxy.DeploymentName(s.name)
	d, err := s.client.AppsV1().Deployments(s.namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("reading deployment %s/%s: %w", s.namespace, name, err)
	case d.Labels[selector.SessionLabel] == s.id:
		state.takenOverBy = d.Annotations[trafficproxy.TakenOverAnnotation]
		if d.DeletionTimestamp == nil {
			state.deployment = d
		}
	}
	pods, err := s.client.CoreV1().Pods(s.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.SelectorFromSet(s.spec.Selector()).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("listing the pods of deployment %s/%s: %w", s.namespace, name, err)
	}
	state.pod = readyPod(pods.Items)
	return &state, nil
}

// withoutDeployment decides what it means that the traffic-proxy is gone for good. After a long absence it is the
// traffic-proxy's own doing, and the session comes back; else somebody wanted it.
func (s *session) withoutDeployment(ctx context.Context, state *glanced, away time.Duration) error {
	switch {
	case away >= s.options.grace && !s.paused:
		return s.comeBack(ctx, away)
	case state.service == nil:
		return &endError{fmt.Errorf("service %s/%s and its traffic-proxy were deleted by somebody", s.namespace, s.name)}
	case state.held == nil && selector.LastEditor(state.service) == selector.FieldManager:
		return &endError{fmt.Errorf("somebody has ended the intercept of service %s/%s with 'kubectl velo restore'", s.namespace, s.name)}
	}
	return &endError{fmt.Errorf("deployment %s/%s was deleted by somebody", s.namespace, trafficproxy.DeploymentName(s.name))}
}

// comeBack sets everything up again, as after a night's sleep.
func (s *session) comeBack(ctx context.Context, away time.Duration) error {
	s.report.begins("back after %v: setting up again", away.Round(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.timeout, fmt.Errorf("%w after %v", errTimeout, s.options.timeout))
	defer cancel()
	// Where the traffic-proxy couldn't do it by itself, the selector is still swapped.
	if err := s.putBack(ctx); errors.Is(err, selector.ErrOtherSession) {
		return &endError{fmt.Errorf("while this machine was away, service %s/%s: %w", s.namespace, s.name, err)}
	} else if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	s.paused, s.swapped = false, false
	err := s.begin(ctx)
	var taken *selector.InterceptedError
	switch {
	case errors.As(err, &taken):
		return &endError{fmt.Errorf("while this machine was away: %w", taken)}
	case err != nil:
		return timedOut(ctx, err)
	}
	s.report.is("service/%s intercepted again", s.name)
	return nil
}

// settleChanges takes note of what others have done to the Service. Nobody is fought: the session pauses, unless it was
// told to reassert itself.
func (s *session) settleChanges(ctx context.Context, state *glanced) error {
	ours := state.held != nil && maps.Equal(state.service.Spec.Selector, s.spec.ServiceSelector())
	switch {
	case ours:
		if s.paused {
			s.report.is("service/%s is intercepted again", s.name)
		}
		s.paused, s.swapped = false, true
		return nil
	case state.held != nil:
		// Whatever somebody set the selector to, nothing of this session's may be left in it.
		editor := selector.LastEditor(state.service)
		if err := s.putBack(ctx); err != nil {
			return err
		}
		s.swapped = false
		s.pause("has a selector that was changed by " + editor)
	case s.swapped:
		s.swapped = false
		switch editor := selector.LastEditor(state.service); editor {
		case selector.ProxyFieldManager: // its pod is going: it comes back with the next
		case selector.FieldManager:
			return &endError{fmt.Errorf("somebody has ended the intercept of service %s/%s with 'kubectl velo restore'", s.namespace, s.name)}
		default:
			s.pause("was changed by " + editor)
		}
	}
	if s.paused && s.options.reassert && time.Since(s.pausing) >= reassertInterval {
		s.paused = false
	}
	return nil
}

// pause leaves the Service to whoever has changed it.
func (s *session) pause(why string) {
	if s.paused {
		return
	}
	s.paused, s.pausing = true, time.Now()
	if s.options.reassert {
		s.report.warns("service/%s %s; it will be intercepted again", s.name, why)
		time.AfterFunc(reassertInterval, s.poke)
		return
	}
	s.report.warns("service/%s %s; that is left as it is, and the intercept pauses (--reassert would intercept it again)", s.name, why)
}

// bringBack makes sure that the traffic-proxy has its tunnel and the Service leads to it, or that nothing does. While the
// session pauses, only the tunnel is kept: without one, the traffic-proxy would take the session for dead.
func (s *session) bringBack(ctx context.Context, state *glanced) error {
	if state.pod == "" {
		return s.standDown(ctx, "the traffic-proxy's pod has gone")
	}
	if !s.link.to(state.pod) {
		s.pod = state.pod
		connecting, cancel := context.WithTimeout(ctx, glanceTimeout)
		err := s.connect(connecting)
		cancel()
		switch {
		case isFinal(err):
			return &endError{err}
		case err != nil:
			return errors.Join(s.standDown(ctx, "the tunnel was cut"), err)
		}
		s.report.is("the tunnel was cut, and is open again")
	}
	if s.swapped || s.paused {
		return nil
	}
	state.service.DeepCopyInto(s.service)
	swapping, cancel := context.WithTimeout(ctx, s.options.timeout)
	defer cancel()
	if err := s.swap(swapping); err != nil {
		return err
	}
	s.report.is("service/%s intercepted again", s.name)
	return nil
}

// standDown gives the Service back to its pods for as long as nobody else stands in for them.
func (s *session) standDown(ctx context.Context, why string) error {
	if !s.swapped {
		return nil
	}
	if err := s.putBack(ctx); err != nil {
		return err
	}
	s.swapped = false
	s.report.warns("%s: service/%s is back with its pods until it is there again", why, s.name)
	return nil
}

// putBack restores the selector.
func (s *session) putBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, glanceTimeout)
	defer cancel()
	_, err := selector.Restore(ctx, s.client.CoreV1().Services(s.namespace), s.name, s.id, selector.FieldManager)
	return err
}

func (s *session) transport(pod string) proxy.Transport {
	return portforward.New(s.config, s.client.CoreV1().RESTClient(), s.namespace, pod, s.spec.TunnelPort())
}
