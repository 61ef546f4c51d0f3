// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/kubectl/pkg/util/podutils"

	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/portforward"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

// dismissTimeout bounds the end of a session that intercepts nothing.
const dismissTimeout = 10 * time.Second

// runSession is one run of a COMMAND without an intercept.
type runSession struct {
	*cluster
	options *runOptions
	report  *report
	id      string
	spec    *trafficproxy.JobSpec
	created bool // the Job may have been
	since   time.Time

	link   *link
	around *surroundings
	poked  chan struct{}
}

func newRunSession(o *runOptions) (*runSession, error) {
	owner, err := whoami()
	if err != nil {
		return nil, err
	}
	s := &runSession{
		cluster: o.cluster, options: o, report: newReport(o.streams.ErrOut),
		id: newSessionID(), since: time.Now(), poked: make(chan struct{}, 1),
	}
	s.spec = &trafficproxy.JobSpec{Namespace: o.cluster.namespace, Session: s.id, Owner: owner, Image: o.proxyImage, Grace: o.grace}
	s.link = newLink(s.poke)
	s.around = newSurroundings(o.cluster, &o.surroundingsOptions, s.report, s.link)
	return s, nil
}

func (s *runSession) poke() {
	select {
	case s.poked <- struct{}{}:
	default: // it will look anyway
	}
}

// start does all that comes before the COMMAND.
func (s *runSession) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.timeout, fmt.Errorf("%w after %v", errTimeout, s.options.timeout))
	defer cancel()
	return timedOut(ctx, s.begin(ctx))
}

func (s *runSession) begin(ctx context.Context) error {
	err := s.report.while(func() error { return s.read(ctx) }, "looking at %s", s.options.workload)
	if err != nil {
		return err
	}
	if len(s.around.dependencies) > 0 {
		if err := s.stage(ctx); err != nil {
			return err
		}
	}
	return s.around.open(ctx)
}

// read makes sure that what is to come is allowed, and reads the surroundings of the workload.
func (s *runSession) read(ctx context.Context) error {
	lacking, err := s.missing(ctx, runPermissions())
	if err != nil {
		return err
	}
	if len(lacking) > 0 {
		return s.lackError("run programs with the surroundings of pods", lacking)
	}
	w, err := findWorkload(ctx, s.cluster, s.options.workload)
	if err != nil {
		return err
	}
	return s.around.read(ctx, w)
}

// stage brings the traffic-proxy up, and the tunnel to it.
func (s *runSession) stage(ctx context.Context) error {
	deploying := s.report.beginning("deploying traffic-proxy in %s", s.namespace)
	defer deploying.ends()
	s.created = true // even when the answer is lost
	if err := trafficproxy.CreateJob(ctx, s.client, s.spec); err != nil {
		return err
	}
	pod, err := trafficproxy.AwaitReady(ctx, s.client, s.spec.Workload(), waitingFor(deploying))
	if err != nil {
		return err
	}
	deploying.says("opening the tunnel to pod %s", pod.Name)
	return atLast(ctx, func(ctx context.Context) error { return s.connect(ctx, pod.Name) })
}

func (s *runSession) connect(ctx context.Context, pod string) error {
	transport := portforward.New(s.config, s.client.CoreV1().RESTClient(), s.namespace, pod, s.spec.TunnelPort())
	return s.link.open(ctx, transport, pod, proxy.Session{ID: s.id, Grace: s.options.grace, Changed: cuts(s.report)})
}

// keep keeps the tunnel up until ctx ends. As long as it lives it sees to its connections by itself; when its pod has gone,
// there will be another, or, after a long absence, neither that nor the Job.
func (s *runSession) keep(ctx context.Context) {
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
			return
		case <-tick.C:
			if awake.tick(time.Now(), s.link.isConnected()) > 0 || network.changed() {
				s.link.probe()
			}
			continue
		case <-s.poked:
		case <-again.C:
		}
		if !s.created {
			continue
		}
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			s.report.warnsOnce("trying again: %v", err)
			again.Reset(backoff.Step())
			continue
		}
		backoff = newGlanceBackoff()
		again.Reset(glanceInterval)
	}
}

// look makes sure that the tunnel leads to the traffic-proxy's pod.
func (s *runSession) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.timeout)
	defer cancel()
	w := s.spec.Workload()
	_, err := s.client.BatchV1().Jobs(s.namespace).Get(ctx, w.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		s.report.begins("the traffic-proxy has gone: setting up again")
		return s.stage(ctx)
	case err != nil:
		return fmt.Errorf("reading %s: %w", w, err)
	}
	pods, err := s.client.CoreV1().Pods(s.namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(w.Pods).String()})
	if err != nil {
		return fmt.Errorf("listing the pods of %s: %w", w, err)
	}
	pod := readyPod(pods.Items)
	switch {
	case pod == "":
		return fmt.Errorf("%w: the pod of %s isn't ready", errNoTunnel, w)
	case s.link.to(pod):
		return nil
	}
	return s.connect(ctx, pod)
}

// readyPod returns the name of one that is ready and stays, or none.
func readyPod(pods []corev1.Pod) string {
	for i := range pods {
		if pod := &pods[i]; pod.DeletionTimestamp == nil && podutils.IsPodReady(pod) {
			return pod.Name
		}
	}
	return ""
}

// answerOthers tells others of this user who ask what the session does, until ctx ends.
func (s *runSession) answerOthers(ctx context.Context) {
	err := livesession.Serve(ctx, s.id, func() livesession.Session {
		return livesession.Session{
			Kind: livesession.Run, Context: s.context, Namespace: s.namespace,
			Name: s.around.workload.kind + "/" + s.around.workload.name, Since: s.since, Dependencies: s.around.describe(),
		}
	})
	if err != nil {
		s.report.warns("'kubectl velo deps' won't show this session: %v", err)
	}
}

// end removes everything.
func (s *runSession) end(ctx context.Context) error {
	s.link.close()
	err := s.around.close()
	if !s.created {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dismissTimeout)
	defer cancel()
	deleting := s.report.during("removing job/%s", s.spec.Workload().Name)
	defer deleting.ends()
	return errors.Join(err, trafficproxy.DeleteJob(ctx, s.client, s.spec))
}

// atLast tries something until it works: a pod counts as ready from the moment its container runs, which is a little before
// the proxy in it listens.
func atLast(ctx context.Context, try func(context.Context) error) error {
	backoff := wait.Backoff{Duration: 50 * time.Millisecond, Factor: 1.5, Jitter: 0.1, Steps: 1 << 20, Cap: time.Second}
	var last error
	err := wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		last = try(ctx)
		if isFinal(last) {
			return false, last
		}
		return last == nil, nil
	})
	if err != nil && last != nil {
		return last
	}
	return err
}
