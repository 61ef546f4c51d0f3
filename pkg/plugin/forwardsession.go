// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
	"github.com/kubectl-velo/kubectl-velo/pkg/podforward"
)

const (
	// lookEvery is how often a target's pods are looked at; of many targets it is longer.
	lookEvery = time.Second
	// lookTargets is how many targets are looked at in that time.
	lookTargets = 10
)

// forwardSession is one run of forwards.
type forwardSession struct {
	*cluster
	options *forwardOptions
	report  *report
	id      string
	since   time.Time

	forwards []*portForward
	pools    []*podforward.Pool // of the targets
}

// portForward is one port that is forwarded.
type portForward struct {
	target    *forwardTarget
	asked     portArgument
	port      remotePort
	pool      *podforward.Pool
	forward   *podforward.Forward
	listeners []*net.TCPListener
}

func newForwardSession(o *forwardOptions) *forwardSession {
	return &forwardSession{
		cluster: o.cluster, options: o, report: newReport(o.streams.ErrOut), id: newSessionID(), since: time.Now(),
	}
}

// run forwards until ctx or the COMMAND ends. Nothing is left then, on any path.
func (s *forwardSession) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var goroutines sync.WaitGroup
	defer goroutines.Wait()
	defer stop() // before waiting
	defer s.close()
	if err := s.start(ctx, &goroutines); err != nil {
		if ctx.Err() != nil && !errors.Is(err, errTimeout) {
			return errors.New("interrupted before everything was ready")
		}
		return err
	}
	if err := s.announce(); err != nil {
		return err
	}
	goroutines.Go(func() { s.answerOthers(ctx) })
	goroutines.Go(func() { s.keep(ctx) })
	for _, f := range s.forwards {
		goroutines.Go(func() { s.tellRefusals(ctx, f) })
	}
	for i, pool := range s.pools {
		goroutines.Go(func() { s.tellCuts(ctx, s.nameOf(i), pool) })
	}
	if len(s.options.command) > 0 {
		return runChild(ctx, s.options.interrupts, s.options.command, nil, s.options.streams)
	}
	<-ctx.Done()
	return nil
}

func (s *forwardSession) nameOf(pool int) string {
	for _, f := range s.forwards {
		if f.pool == s.pools[pool] {
			return f.target.Name
		}
	}
	return ""
}

// close closes the listeners, which is all that there may be without a goroutine that sees to it.
func (s *forwardSession) close() {
	for _, f := range s.forwards {
		closeAll(f.listeners)
	}
}

// start does everything until all ports are ready.
func (s *forwardSession) start(ctx context.Context, goroutines *sync.WaitGroup) error {
	waiting, cancel := context.WithTimeoutCause(ctx, s.options.timeout, fmt.Errorf("%w after %v", errTimeout, s.options.timeout))
	defer cancel()
	if err := s.find(waiting); err != nil {
		return timedOut(waiting, err)
	}
	for _, f := range s.forwards {
		if err := s.listen(waiting, f); err != nil {
			return timedOut(waiting, err)
		}
	}
	// They go on after that.
	for _, pool := range s.pools {
		goroutines.Go(func() { pool.Run(ctx) })
	}
	for _, f := range s.forwards {
		goroutines.Go(func() { f.forward.Serve(ctx, f.listeners...) })
	}
	return timedOut(waiting, s.await(waiting))
}

// find finds the targets, and their ports.
func (s *forwardSession) find(ctx context.Context) error {
	targets, ports, err := s.targets(ctx)
	if err != nil {
		return err
	}
	every := lookEvery * time.Duration(1+(len(targets)-1)/lookTargets)
	for i, target := range targets {
		for _, port := range ports[i] {
			if err := target.declares(port.remote); err != nil {
				return err
			}
		}
		pool := podforward.NewPool(target.Target, &podforward.Cluster{
			Config: s.config, Client: s.client.CoreV1().RESTClient(), Namespace: s.namespace,
		}, every)
		s.pools = append(s.pools, pool)
		pod, err := s.firstPod(ctx, target)
		if err != nil {
			return err
		}
		for _, asked := range ports[i] {
			port, err := target.remote(asked.remote, pod)
			if err != nil {
				return err
			}
			s.forwards = append(s.forwards, &portForward{
				target: target, asked: asked, port: port, pool: pool, forward: podforward.NewForward(pool, port.of),
			})
		}
	}
	return nil
}

func (s *forwardSession) targets(ctx context.Context) (targets []*forwardTarget, ports [][]portArgument, err error) {
	if s.options.all {
		return s.allServices(ctx)
	}
	for _, argument := range s.options.targets {
		var target *forwardTarget
		if s.options.selector != "" {
			matching, err := labels.Parse(s.options.selector)
			if err != nil {
				return nil, nil, usageErrorf("--selector: %v", err)
			}
			target = s.forwardToPods("pods/"+s.options.selector, matching)
		} else if target, err = s.forwardTarget(ctx, s.options.kubeconfig, argument.name); err != nil {
			return nil, nil, err
		}
		targets, ports = append(targets, target), append(ports, argument.ports)
	}
	return targets, ports, nil
}

// firstPod returns the best pod of a target, and waits until it has one.
func (s *forwardSession) firstPod(ctx context.Context, target *forwardTarget) (*corev1.Pod, error) {
	for {
		pods, err := target.Find(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking for the pods of %s: %w", target.Name, err)
		}
		if pod := bestPod(pods); pod != nil {
			return pod, nil
		}
		s.report.waits(target.Name, "it has no pods")
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s in namespace %s: it has no pods: %w", target.Name, s.namespace, context.Cause(ctx))
		case <-time.After(lookEvery):
		}
	}
}

// listen listens for a port's clients. With --all a port that can't be had is replaced by a free one.
func (s *forwardSession) listen(ctx context.Context, f *portForward) (err error) {
	local := f.asked.local
	if !f.asked.localGiven {
		local = f.port.number
	}
	f.listeners, err = listenAtAll(ctx, s.options.listen, local)
	if s.options.all && (errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES)) {
		f.listeners, err = listenAtAll(ctx, s.options.listen, 0)
	}
	if err != nil {
		return fmt.Errorf("forwarding %s: %w", f, err)
	}
	return nil
}

// String names a port of a target.
func (f *portForward) String() string { return f.target.Name + ":" + f.asked.remote }

// await waits until all are ready, and with a COMMAND until they answer.
func (s *forwardSession) await(ctx context.Context) error {
	for i, pool := range s.pools {
		if err := s.awaitPool(ctx, s.nameOf(i), pool); err != nil {
			return err
		}
	}
	if len(s.options.command) == 0 {
		return nil
	}
	for _, f := range s.forwards {
		if err := f.forward.Await(ctx); err != nil {
			return fmt.Errorf("waiting for an answer of %s: %w", f, err)
		}
	}
	return nil
}

// awaitPool waits until connections can be given to a pod. What the API server refuses, it will go on to refuse.
func (s *forwardSession) awaitPool(ctx context.Context, name string, pool *podforward.Pool) error {
	for {
		changed := pool.Changed()
		status := pool.Status()
		switch {
		case status.State == podforward.Ready:
			return nil
		case apierrors.IsForbidden(status.Err), apierrors.IsUnauthorized(status.Err):
			return status.Err
		case time.Since(status.Since) > briefCut:
			s.report.waits(name, status.Reason)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s in namespace %s: %s: %w", name, s.namespace, status.Reason, context.Cause(ctx))
		}
	}
}

// waits says what is waited for, each thing once.
func (r *report) waits(name, reason string) {
	r.sayOnce(r.begins, "waiting for %s: %s", name, reason)
}

// announce says where everything is: on stdout as kubectl port-forward does, unless another format is wanted, or stdout is
// the COMMAND's.
func (s *forwardSession) announce() error {
	for _, f := range s.forwards {
		s.report.is("%s is at %s", f, f.shownAddress())
	}
	if s.options.output != "" {
		return printForwards(s.options.streams.Out, s.options.output, s.describe())
	}
	if len(s.options.command) > 0 {
		return nil
	}
	for _, f := range s.forwards {
		for _, l := range f.listeners {
			if _, err := fmt.Fprintf(s.options.streams.Out, "Forwarding from %s -> %d\n", l.Addr(), f.port.container); err != nil {
				return err
			}
		}
	}
	return nil
}

// shownAddress is the first one, for people.
func (f *portForward) shownAddress() string {
	address := f.listeners[0].Addr().(*net.TCPAddr)
	if address.IP.IsLoopback() {
		return net.JoinHostPort("localhost", strconv.Itoa(address.Port))
	}
	return address.String()
}

// keep has the connections show that they live whenever there is reason to doubt it, until ctx ends.
func (s *forwardSession) keep(ctx context.Context) {
	awake, network := newWakefulness(time.Now()), newNetwork()
	tick := time.NewTicker(wakeTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if slept := awake.tick(time.Now(), true) > 0; network.changed() || slept {
			for _, pool := range s.pools {
				pool.Probe()
			}
		}
	}
}

// describe tells what the session does.
func (s *forwardSession) describe() *livesession.Session {
	session := &livesession.Session{
		ID: s.id, Kind: livesession.PortForward, Context: s.context, Namespace: s.namespace,
		Name: s.forwards[0].target.Name, Since: s.since,
	}
	for _, f := range s.forwards {
		status, traffic := f.pool.Status(), f.forward.Traffic()
		one := livesession.Forward{
			Name: f.target.Name, Port: f.asked.remote, Pods: status.Pods,
			State: livesession.State(status.State), Reason: status.Reason, StateSince: status.Since, Reconnects: status.Reconnects,
			Connections: traffic.Callers, BytesSent: traffic.Sent, BytesReceived: traffic.Received,
		}
		for _, l := range f.listeners {
			one.Local = append(one.Local, l.Addr().String())
		}
		session.Forwards = append(session.Forwards, one)
	}
	return session
}

// answerOthers tells others of this user who ask what the session does, until ctx ends.
func (s *forwardSession) answerOthers(ctx context.Context) {
	err := livesession.Serve(ctx, s.id, func() livesession.Session { return *s.describe() })
	if err != nil {
		s.report.warns("'kubectl velo status' won't show these forwards: %v", err)
	}
}

// tellCuts tells when new connections have to wait, and when they go on, until ctx ends.
func (s *forwardSession) tellCuts(ctx context.Context, name string, pool *podforward.Pool) {
	var told time.Time // since when they wait, if that was told
	for {
		changed, status := pool.Changed(), pool.Status()
		var brief <-chan time.Time
		switch {
		case status.State == podforward.Ready && !told.IsZero():
			s.report.is("%s goes on, after %v", name, time.Since(told).Round(100*time.Millisecond))
			told = time.Time{}
		case status.State == podforward.Waiting && told.IsZero():
			if left := briefCut - time.Since(status.Since); left > 0 {
				brief = time.After(left)
				break
			}
			told = status.Since
			s.report.warns("%s: new connections wait: %s", name, strings.TrimSpace(status.Reason))
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-brief:
		}
	}
}

// tellRefusals tells from time to time what pods refuse, until ctx ends.
func (s *forwardSession) tellRefusals(ctx context.Context, f *portForward) {
	tick := time.NewTicker(noticeInterval)
	defer tick.Stop()
	told := int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		refusals := f.forward.Traffic().Refusals
		if refusals.Count > told {
			s.report.warns("%s: connections were refused %d times and went to the next pod: %s", f, refusals.Count-told, refusals.Last)
		}
		told = refusals.Count
	}
}
