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
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/portforward"
	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

// session is one run of an intercept, from its preflight to its undoing.
type session struct {
	*cluster
	options *interceptOptions
	report  *report
	id      string
	owner   string
	name    string // of the Service

	// Found by preflight.
	service *corev1.Service
	all     []servicePort
	ports   []interceptedPort

	// What has been done, and so has to be undone.
	spec    *trafficproxy.Spec // staging has begun
	pod     string             // the traffic-proxy's is ready
	link    *link              // the tunnel is open
	swapped bool               // the selector may have been swapped
}

// nodesFollow is how long a node may take to follow EndpointSlices: kube-proxy gathers changes for a second, by default,
// and nothing tells when it has applied them.
const nodesFollow = time.Second

// errOver is the end of a session in order, by its time being over.
var errOver = errors.New("the time given with --ttl is over")

func newSession(o *interceptOptions) (*session, error) {
	owner, err := whoami()
	if err != nil {
		return nil, err
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // it never fails, says its documentation
	return &session{
		cluster: o.cluster, options: o, report: newReport(o.streams.ErrOut),
		id: hex.EncodeToString(id[:]), owner: owner, name: o.service,
	}, nil
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

// repair is the command that undoes what a dead session left.
func (s *session) repair() string {
	return fmt.Sprintf("kubectl velo restore svc/%s -n %s%s", s.name, s.namespace, s.flags)
}

// run intercepts the Service until ctx or the session's own end, and undoes everything on every path.
func (s *session) run(ctx context.Context) error {
	// The tunnel goes on while the session is being undone, so that nothing in it is cut.
	lives, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, lives := errgroup.WithContext(lives)

	started := time.Now()
	err := s.start(ctx, lives, g)
	if err == nil {
		s.report.is("service/%s intercepted: %s (%.1fs)", s.name, s.routes(), time.Since(started).Seconds())
		err = s.hold(ctx, lives)
	} else if ctx.Err() != nil {
		err = fmt.Errorf("interrupted before service %s/%s was intercepted", s.namespace, s.name)
	}
	if err != nil && s.spec != nil && !s.swapped {
		s.report.fails("service/%s stays as it is", s.name)
	}
	undone := s.undo(ctx, end)
	end()
	return errors.Join(notOver(err), g.Wait(), undone)
}

// notOver drops the error that stands for an end in order.
func notOver(err error) error {
	if errors.Is(err, errOver) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// start does all that comes before "intercepted". The tunnel's goroutine joins g and lives with it.
func (s *session) start(ctx, lives context.Context, g *errgroup.Group) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.timeout,
		fmt.Errorf("%w after %v", errTimeout, s.options.timeout))
	defer cancel()
	if err := s.preflight(ctx); err != nil {
		return timedOut(ctx, err)
	}
	if err := s.stage(ctx); err != nil {
		return timedOut(ctx, err)
	}
	if err := s.link.open(ctx); err != nil {
		return timedOut(ctx, err)
	}
	g.Go(func() error { return s.link.keep(lives) })
	s.warnAboutSilence(ctx)
	if err := s.swap(ctx); err != nil {
		return timedOut(ctx, err)
	}
	if err := selector.AwaitRouted(ctx, s.client.DiscoveryV1(), s.namespace, s.name, s.pod); err != nil {
		return timedOut(ctx, err)
	}
	select {
	case <-time.After(nodesFollow):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
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
	spec := &trafficproxy.Spec{Service: s.service, Session: s.id, Owner: s.owner, Image: s.options.proxyImage}
	for _, port := range s.all {
		p := trafficproxy.Port{
			Protocol: port.Protocol, Container: port.container, Service: portNumber(port.Port),
			Name: port.TargetPort.StrVal,
		}
		spec.Ports = append(spec.Ports, p)
	}
	s.report.begins("deploying traffic-proxy in %s", s.namespace)
	s.spec = spec
	if err := trafficproxy.Create(ctx, s.client, spec); err != nil {
		if _, theirs := errors.AsType[*trafficproxy.ExistsError](err); theirs {
			s.spec = nil // nothing has been staged
		}
		return err
	}
	pod, err := trafficproxy.AwaitReady(ctx, s.client, spec, s.once())
	if err != nil {
		return err
	}
	s.pod = pod.Name
	local := make(map[uint16]string, len(s.ports))
	for _, port := range s.ports {
		local[port.container] = port.address()
	}
	s.link = &link{
		transport: portforward.New(s.config, s.client.CoreV1().RESTClient(), s.namespace, s.pod, spec.TunnelPort()),
		session:   proxy.Session{ID: s.id, Local: local, Refused: s.refusals()},
		report:    s.report,
	}
	return nil
}

// swap points the Service at the traffic-proxy. If the Service changes meanwhile, that is looked at, and what the
// session is built on must still be so.
func (s *session) swap(ctx context.Context) error {
	services := s.client.CoreV1().Services(s.namespace)
	s.swapped = true // even when the answer is lost
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		service, err := services.Get(ctx, s.name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading service %s/%s: %w", s.namespace, s.name, err)
		}
		if !equality.Semantic.DeepEqual(service.Spec.Selector, s.service.Spec.Selector) ||
			!equality.Semantic.DeepEqual(service.Spec.Ports, s.service.Spec.Ports) {
			return withHint(fmt.Errorf("service %s/%s was changed by somebody while its traffic-proxy was deployed", s.namespace, s.name),
				"run the same command again")
		}
		note := selector.Intercept{
			Session: s.id, Owner: s.owner, Since: time.Now().UTC().Truncate(time.Second),
			Proxy: trafficproxy.DeploymentName(s.name),
		}
		if s.options.ttl > 0 {
			expires := note.Since.Add(s.options.ttl)
			note.Expires = &expires
		}
		_, err = selector.Swap(ctx, services, service, note, s.spec.Selector())
		return err
	})
}

// hold waits for the session's end and returns why it ended: nil for an end in order.
func (s *session) hold(ctx, lives context.Context) error {
	if s.options.ttl > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.options.ttl, errOver)
		defer cancel()
	}
	if len(s.options.command) > 0 {
		running, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(lives, func() { cancel(context.Cause(lives)) })()
		err := runChild(running, s.options.command, s.options.streams)
		return errors.Join(err, notOver(context.Cause(lives)))
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-lives.Done():
		return nil // the group that ended it has the error
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
