// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
	"github.com/kubectl-velo/kubectl-velo/pkg/podforward"
	"github.com/kubectl-velo/kubectl-velo/pkg/socketerror"
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

	targets  []*forwardTarget
	forwards []*portForward
}

// portForward is one port that is forwarded.
type portForward struct {
	target    *forwardTarget
	asked     portArgument
	port      remotePort
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
	for _, target := range s.targets {
		goroutines.Go(func() { s.tellCuts(ctx, target) })
	}
	goroutines.Go(func() { s.watchPaths(ctx) })
	var err error
	if len(s.options.command) > 0 {
		defer s.report.shares()()
		err = runChild(ctx, s.options.interrupts, s.options.command, nil, s.options.streams)
	} else {
		<-ctx.Done()
	}
	stop()
	s.sayBypassed(ctx)
	return err
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
	getting := s.report.spinning("waiting for the ports to be ready")
	defer getting.ends()
	if err := s.find(waiting); err != nil {
		return timedOut(waiting, err)
	}
	for _, f := range s.forwards {
		if err := s.listen(waiting, f); err != nil {
			return timedOut(waiting, err)
		}
	}
	// They go on after that.
	for _, target := range s.targets {
		goroutines.Go(func() { target.pool.Run(ctx) })
	}
	for _, f := range s.forwards {
		goroutines.Go(func() { f.forward.Serve(ctx, f.listeners...) })
	}
	return timedOut(waiting, s.await(waiting))
}

// find finds the targets, and their ports.
func (s *forwardSession) find(ctx context.Context) error {
	looking := s.report.during("looking for what is to be forwarded to")
	targets, ports, err := s.wanted(ctx)
	looking.ends()
	if err != nil {
		return err
	}
	static, live, err := s.pathLookers()
	if err != nil {
		return err
	}
	connector := &podforward.Cluster{Config: s.config, Client: s.client.CoreV1().RESTClient(), Namespace: s.namespace}
	every := lookEvery * time.Duration(1+(len(targets)-1)/lookTargets)
	for i, target := range targets {
		target.bypass = s.bypassOf(target, static, live)
		for _, port := range ports[i] {
			if err := target.declares(port.remote); err != nil {
				return err
			}
		}
		pod, err := s.firstPod(ctx, target)
		switch {
		case err != nil:
			return err
		case pod == nil:
			continue
		}
		target.pool = podforward.NewPool(target.Target, connector, every)
		s.targets = append(s.targets, target)
		for _, asked := range ports[i] {
			port, err := target.remote(asked.remote, pod)
			if err != nil {
				return err
			}
			s.forwards = append(s.forwards, &portForward{
				target: target, asked: asked, port: port, forward: podforward.NewForward(target.pool, port.of),
			})
		}
	}
	if len(s.targets) == 0 {
		return fmt.Errorf("no service in namespace %s has pods", s.namespace)
	}
	return nil
}

// wanted returns the targets that were asked for, and the ports of each.
func (s *forwardSession) wanted(ctx context.Context) (targets []*forwardTarget, ports [][]portArgument, err error) {
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

// listen listens for a port's clients. With --all a port that can't be had is replaced by a free one.
func (s *forwardSession) listen(ctx context.Context, f *portForward) (err error) {
	local := f.asked.local
	if !f.asked.localGiven {
		local = f.port.number
	}
	f.listeners, err = listenAtAll(ctx, s.options.listen, local)
	if s.options.all && (socketerror.IsInUse(err) || socketerror.IsForbidden(err)) {
		f.listeners, err = listenAtAll(ctx, s.options.listen, 0)
	}
	if err != nil {
		return fmt.Errorf("forwarding %s: %w", f, err)
	}
	return nil
}

// String names a port of a target.
func (f *portForward) String() string { return f.target.Name + ":" + f.asked.remote }

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
			for _, target := range s.targets {
				target.pool.Probe()
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
		status, traffic := f.target.pool.Status(), f.forward.Traffic()
		one := livesession.Forward{
			Name: f.target.Name, Port: f.asked.remote, Pods: status.Pods,
			State: livesession.State(status.State), Reason: status.Reason, StateSince: status.Since, Reconnects: status.Reconnects,
			Connections: traffic.Callers, BytesSent: traffic.Sent, BytesReceived: traffic.Received,
			Bypass: f.target.bypass.told(),
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
