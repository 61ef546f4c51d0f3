// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
	"github.com/kubectl-velo/kubectl-velo/pkg/routes"
	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

// nodesFollow is how long a node may take to follow EndpointSlices: kube-proxy gathers changes for a second, by default,
// and nothing tells when it has applied them.
const nodesFollow = time.Second

// session is one run of an intercept, from its preflight to its undoing. One goroutine runs it: starting, keeping and
// undoing follow each other. What others notice, they tell it by poking.
type session struct {
	*cluster
	options *interceptOptions
	report  *report
	id      string
	owner   string
	name    string    // of the Service
	expires time.Time // zero if it doesn't by itself

	// Found by preflight.
	service *corev1.Service
	all     []servicePort
	ports   []interceptedPort
	evicts  *selector.Intercept // the session to be taken over from
	silent  []interceptedPort   // those at which nobody listened before the selector was swapped

	// What has been done, and so has to be undone.
	spec    *trafficproxy.Spec // staging has begun
	pod     string             // the traffic-proxy's last one
	swapped bool               // the selector may have been swapped

	successor string // who has taken the Service over, if somebody has

	link    *link
	around  *surroundings
	poked   chan struct{}
	since   time.Time
	paused  bool      // somebody else has changed the Service
	pausing time.Time // when that was last so
	told    string    // the trouble that was last reported
}

// errOver is the end of a session in order, by its time being over.
var errOver = errors.New("the time given with --ttl is over")

func newSession(o *interceptOptions) (*session, error) {
	owner, err := whoami()
	if err != nil {
		return nil, err
	}
	s := &session{
		cluster: o.cluster, options: o, report: newReport(o.streams.ErrOut),
		id: newSessionID(), owner: owner, name: o.service,
		poked: make(chan struct{}, 1), since: time.Now(),
	}
	s.link = newLink(s.poke)
	s.around = newSurroundings(o.cluster, &o.surroundingsOptions, s.report, s.link)
	return s, nil
}

func newSessionID() string {
	var id [4]byte
	_, _ = rand.Read(id[:]) // it never fails, says its documentation
	return hex.EncodeToString(id[:])
}

// whoami names who runs this process, as user@host.
func whoami() (string, error) {
	u, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("finding out who you are: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("finding out this machine's name: %w", err)
	}
	return u.Username + "@" + host, nil
}

// repair is the command that undoes what this session would leave, if it died.
func (s *session) repair() string { return s.restoreCommand(s.name) }

// run intercepts the Service until ctx or the session's own end, and undoes everything on every path.
func (s *session) run(ctx context.Context) error {
	started := time.Now()
	err := s.start(ctx)
	if err == nil {
		s.report.is("service/%s intercepted: %s (%.1fs)", s.name, s.routes(), time.Since(started).Seconds())
		if s.options.surrounded() {
			s.report.is("dependencies: %s", s.around.summary())
		}
		err = s.hold(ctx)
	} else {
		if ctx.Err() != nil {
			err = fmt.Errorf("interrupted before service %s/%s was intercepted", s.namespace, s.name)
		}
		if s.spec != nil && !s.swapped {
			s.report.fails("service/%s stays as it is", s.name)
		}
	}
	undone := s.undo(ctx)
	s.link.close() // if undoing has left that to do
	return errors.Join(notOver(err), undone, s.around.close())
}

// notOver drops the error that stands for an end in order.
func notOver(err error) error {
	if errors.Is(err, errOver) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// start does all that comes before "intercepted".
func (s *session) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.timeout,
		fmt.Errorf("%w after %v", errTimeout, s.options.timeout))
	defer cancel()
	return timedOut(ctx, s.begin(ctx))
}

func (s *session) begin(ctx context.Context) error {
	err := s.report.while(func() error {
		if err := s.preflight(ctx); err != nil {
			return err
		}
		return s.readSurroundings(ctx)
	}, "looking at service/%s", s.name)
	if err != nil {
		return err
	}
	if s.evicts != nil {
		if err := s.evict(ctx); err != nil {
			return err
		}
	}
	err = s.stage(ctx)
	if staged, ok := errors.AsType[*trafficproxy.ExistsError](err); ok && s.options.takeOver {
		s.evicts = &selector.Intercept{Session: staged.Session, Owner: staged.Owner, Proxy: staged.Deployment}
		if err := s.evict(ctx); err != nil {
			return err
		}
		err = s.stage(ctx)
	}
	if err != nil {
		return err
	}
	err = s.report.while(func() error { return atLast(ctx, s.connect) }, "opening the tunnel to pod %s", s.pod)
	if err != nil {
		return err
	}
	if s.options.surrounded() {
		if err := s.around.open(ctx); err != nil {
			return err
		}
	}
	s.warnAboutSilence(ctx)
	return s.swap(ctx)
}

// readSurroundings reads what a process on this machine is to be given, of the Service's pods.
func (s *session) readSurroundings(ctx context.Context) error {
	if !s.options.surrounded() {
		return nil
	}
	w, err := findWorkload(ctx, s.cluster, "service/"+s.name)
	if errors.Is(err, errNoPods) {
		return withHint(err, "there is no environment to give to a process: start a pod, or go without a command, --env-file and --dep")
	}
	if err != nil {
		return err
	}
	if s.options.container == "" {
		s.options.container = containerWith(w.pod, s.ports[0].container)
	}
	s.around.reserved = make(map[uint16]bool)
	for _, port := range s.ports {
		s.around.reserved[port.local] = true
	}
	return s.around.read(ctx, w)
}

// containerWith names the pod's container that declares a port, or none.
func containerWith(pod *corev1.Pod, port uint16) string {
	for i := range pod.Spec.Containers {
		for _, declared := range pod.Spec.Containers[i].Ports {
			if declared.ContainerPort == int32(port) {
				return pod.Spec.Containers[i].Name
			}
		}
	}
	return ""
}

// timedOut makes sure that what failed because the time was over says so.
func timedOut(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || !errors.Is(cause, errTimeout) || errors.Is(err, errTimeout) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// stage brings the traffic-proxy up, unseen by callers.
func (s *session) stage(ctx context.Context) error {
	deploying := s.report.beginning("deploying traffic-proxy in %s", s.namespace)
	defer deploying.ends()
	s.spec = s.proxySpec()
	restores, err := trafficproxy.Create(ctx, s.client, s.spec)
	if err != nil {
		if _, theirs := errors.AsType[*trafficproxy.ExistsError](err); theirs {
			s.spec = nil // nothing has been staged
		}
		return err
	}
	if !restores {
		s.warnOfNoGrant()
	}
	pod, err := trafficproxy.AwaitReady(ctx, s.client, s.spec.Workload(), waitingFor(deploying))
	if err != nil {
		return err
	}
	s.pod = pod.Name
	return nil
}

func (s *session) proxySpec() *trafficproxy.Spec {
	spec := &trafficproxy.Spec{
		Service: s.service, Session: s.id, Owner: s.owner, Image: s.options.proxyImage, Grace: s.options.grace,
	}
	for _, port := range s.all {
		spec.Ports = append(spec.Ports, trafficproxy.Port{
			Protocol: port.Protocol, Container: port.container, Service: portNumber(port.Port),
			Name: port.TargetPort.StrVal,
		})
	}
	return spec
}

// connect opens the tunnel to the traffic-proxy's pod.
func (s *session) connect(ctx context.Context) error {
	local := make(map[uint16]string, len(s.ports))
	for _, port := range s.ports {
		local[port.container] = port.address()
	}
	return s.link.open(ctx, s.transport(s.pod), s.pod, proxy.Session{
		ID: s.id, Local: local, Grace: s.options.grace, Changed: cuts(s.report), Refused: s.refusals(),
		Passed: func(connections int64) {
			s.report.warns("%d connections went to the cluster while there was no tunnel", connections)
		},
	})
}

// swap points the Service at the traffic-proxy and waits until it leads there. If the Service changes meanwhile, that is
// looked at, and what the session is built on must still be so.
func (s *session) swap(ctx context.Context) error {
	leading := s.report.during("leading callers of service/%s to this machine", s.name)
	defer leading.ends()
	services := s.client.CoreV1().Services(s.namespace)
	s.swapped = true // even when the answer is lost
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		service, err := services.Get(ctx, s.name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading service %s/%s: %w", s.namespace, s.name, err)
		}
		if !equality.Semantic.DeepEqual(service.Spec.Selector, s.service.Spec.Selector) ||
			!equality.Semantic.DeepEqual(service.Spec.Ports, s.service.Spec.Ports) {
			return withHint(fmt.Errorf("service %s/%s was changed by somebody while its traffic-proxy was deployed", s.namespace, s.name),
				"run the same command again")
		}
		_, err = selector.Swap(ctx, services, service, s.note(), s.spec.ServiceSelector())
		return err
	})
	if err != nil {
		return err
	}
	if err := routes.AwaitTo(ctx, s.client.DiscoveryV1(), s.namespace, s.name, s.pod); err != nil {
		return err
	}
	leading.ends()
	select {
	case <-time.After(nodesFollow):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// note is what the Service's annotation says.
func (s *session) note() selector.Intercept {
	note := selector.Intercept{
		Session: s.id, Owner: s.owner, Since: time.Now().UTC().Truncate(time.Second),
		Proxy: trafficproxy.DeploymentName(s.name),
	}
	if s.options.ttl > 0 {
		if s.expires.IsZero() {
			s.expires = note.Since.Add(s.options.ttl)
		}
		note.Expires = &s.expires
	}
	return note
}

// hold keeps the intercept up until the session's end and returns why it ended: nil for an end in order.
func (s *session) hold(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var goroutines sync.WaitGroup
	defer goroutines.Wait()
	defer end(nil) // before waiting
	s.around.serve(ctx, &goroutines)
	goroutines.Go(func() { s.answerOthers(ctx) })
	silent := s.silent
	goroutines.Go(func() { awaitListening(ctx, s.report, silent) })
	child := make(chan error, 1)
	if len(s.options.command) > 0 {
		defer s.report.shares()()
		ports := s.ports // they are looked up anew when the session begins again
		goroutines.Go(func() { awaitCommand(ctx, s.report, ports) })
		goroutines.Go(func() {
			child <- runChild(ctx, s.options.interrupts, s.options.command, s.around.process(), s.options.streams)
		})
	}
	return s.keep(ctx, &goroutines, child)
}

// answerOthers tells others of this user who ask what the session does, until ctx ends.
func (s *session) answerOthers(ctx context.Context) {
	ports := make([]livesession.Port, 0, len(s.ports))
	for _, port := range s.ports {
		ports = append(ports, livesession.Port{
			Name: port.Name, Port: portNumber(port.Port), Protocol: strings.ToLower(string(port.Protocol)), Local: port.address(),
		})
	}
	err := livesession.Serve(ctx, s.id, func() livesession.Session {
		return livesession.Session{
			Kind: livesession.Intercept, Context: s.context, Namespace: s.namespace, Name: "svc/" + s.name,
			Since: s.since, Ports: ports, Dependencies: s.around.describe(),
		}
	})
	if err != nil {
		s.report.warns("'kubectl velo deps' won't show this session: %v", err)
	}
}

// routes says where the intercepted ports lead, for people.
func (s *session) routes() string {
	var b strings.Builder
	for i, port := range s.ports {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s → %s", port.title(), port.address())
	}
	for _, port := range s.all {
		if !slices.ContainsFunc(s.ports, func(p interceptedPort) bool { return p.Port == port.Port && p.Protocol == port.Protocol }) {
			fmt.Fprintf(&b, ", %s stays with its pods", port.title())
		}
	}
	return b.String()
}
