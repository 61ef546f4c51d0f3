// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/portforward"
)

// pipe is one side of a connection in memory, whose directions end one by one, and which may be reset.
type pipe struct {
	in, out net.Conn
	reset   *atomic.Bool // by either side
	linger  atomic.Bool  // as TCP's: whether closing is a reset
	ended   atomic.Bool
}

func newPipe() (here, there *pipe) {
	a, b := net.Pipe()
	c, d := net.Pipe()
	reset := new(atomic.Bool)
	return &pipe{in: a, out: c, reset: reset}, &pipe{in: d, out: b, reset: reset}
}

func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	switch {
	case err != nil && p.reset.Load():
		return n, syscall.ECONNRESET
	case errors.Is(err, io.ErrClosedPipe):
		return n, net.ErrClosed
	}
	return n, err
}

func (p *pipe) Write(b []byte) (int, error) {
	n, err := p.out.Write(b)
	if err != nil {
		return n, syscall.EPIPE
	}
	return n, nil
}

func (p *pipe) CloseWrite() error { return p.out.Close() }

func (p *pipe) SetLinger(seconds int) error {
	if p.ended.Load() {
		return net.ErrClosed
	}
	p.linger.Store(seconds == 0)
	return nil
}

func (p *pipe) Close() error {
	if p.ended.Swap(true) {
		return net.ErrClosed
	}
	if p.linger.Load() {
		p.reset.Store(true)
	}
	return errors.Join(p.in.Close(), p.out.Close())
}

func (p *pipe) LocalAddr() net.Addr  { return p.in.LocalAddr() }
func (p *pipe) RemoteAddr() net.Addr { return p.in.RemoteAddr() }
func (p *pipe) SetDeadline(t time.Time) error {
	return errors.Join(p.in.SetReadDeadline(t), p.out.SetWriteDeadline(t))
}
func (p *pipe) SetReadDeadline(t time.Time) error  { return p.in.SetReadDeadline(t) }
func (p *pipe) SetWriteDeadline(t time.Time) error { return p.out.SetWriteDeadline(t) }

// fakeStream is a stream, seen from the pod's side, with what the other side reads at its end.
type fakeStream struct {
	*pipe

	end *atomic.Value // of error
}

// fails ends the stream with an error.
func (s fakeStream) fails(err error) {
	s.end.Store(err)
	_ = s.Close()
}

// theirStream is the same from the other side.
type theirStream struct {
	*pipe

	end  *atomic.Value
	done func()
}

func (s theirStream) Read(b []byte) (int, error) {
	n, err := s.pipe.Read(b)
	if err == nil || s.ended.Load() {
		return n, err
	}
	if end, ok := s.end.Load().(error); ok {
		return n, end
	}
	return n, io.EOF
}

func (s theirStream) Close() error {
	s.done()
	return s.pipe.Close()
}

// fakePod answers streams.
type fakePod struct {
	name  string
	serve func(s fakeStream)
	// unreachable has connecting fail, and silent has connections not answer.
	unreachable, silent atomic.Bool

	mu    sync.Mutex
	conns []*fakeConnection
	dials int
}

// fakeConnection is a connection to a fake pod.
type fakeConnection struct {
	pod     *fakePod
	once    sync.Once
	done    chan struct{}
	serving sync.WaitGroup

	mu      sync.Mutex
	streams map[fakeStream]bool
	opened  int
}

func (c *fakeConnection) Open(ctx context.Context, _ uint16) (Stream, error) {
	select {
	case <-c.done:
		return nil, portforward.ErrCut
	default:
	}
	if c.pod.silent.Load() {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	here, there := newPipe()
	s := fakeStream{there, new(atomic.Value)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	c.streams[s] = true
	c.serving.Go(func() { c.pod.serve(s) })
	return theirStream{here, s.end, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.streams, s)
	}}, nil
}

func (c *fakeConnection) Ping(ctx context.Context) error {
	if c.pod.silent.Load() {
		select {
		case <-c.done:
			return portforward.ErrCut
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (c *fakeConnection) Done() <-chan struct{} { return c.done }

func (c *fakeConnection) Close() error {
	c.cut()
	c.serving.Wait()
	return nil
}

// cut breaks the connection.
func (c *fakeConnection) cut() {
	c.once.Do(func() { close(c.done) })
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.streams {
		s.fails(portforward.ErrCut)
	}
}

func (c *fakeConnection) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams)
}

// fakeCluster is pods, and a pool of connections to them.
type fakeCluster struct {
	*testing.T

	mu      sync.Mutex
	pods    []*fakePod
	objects map[string]*corev1.Pod
	down    bool // the API server

	pool    *Pool
	forward *Forward
	ctx     context.Context
}

// newFakeCluster returns a cluster with pods that answer with serve, in a bubble, when it is connected to. Its pool runs until
// the test ends.
func newFakeCluster(t *testing.T, serve func(pod string, s fakeStream), pods ...string) *fakeCluster {
	t.Helper()
	c := startFakeCluster(t, serve, pods...)
	synctest.Wait()
	return c
}

func startFakeCluster(t *testing.T, serve func(pod string, s fakeStream), pods ...string) *fakeCluster {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &fakeCluster{T: t, objects: make(map[string]*corev1.Pod), ctx: ctx}
	for _, name := range pods {
		c.add(name, func(s fakeStream) { serve(name, s) })
	}
	c.pool = NewPool(Target{Name: "service/web", Find: c.find}, c, time.Second)
	c.forward = NewForward(c.pool, func(*corev1.Pod) (uint16, error) { return 80, nil })
	var running sync.WaitGroup
	running.Go(func() { c.pool.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return c
}

func (c *fakeCluster) add(name string, serve func(fakeStream)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pods = append(c.pods, &fakePod{name: name, serve: serve})
	c.objects[name] = &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue},
		}},
	}
}

func (c *fakeCluster) pod(name string) *fakePod {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pod := range c.pods {
		if pod.name == name {
			return pod
		}
	}
	c.Fatalf("there is no pod %s", name)
	return nil
}

// goes marks a pod as deleted, and back is what a test calls to have it again.
func (c *fakeCluster) goes(name string) (back func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[name].DeletionTimestamp = new(metav1.Now())
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.objects[name].DeletionTimestamp = nil
	}
}

var errDown = errors.New("connection refused by the API server")

func (c *fakeCluster) find(context.Context) ([]corev1.Pod, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errDown
	}
	var all []corev1.Pod
	for _, pod := range c.pods {
		if object := c.objects[pod.name]; object != nil {
			all = append(all, *object.DeepCopy())
		}
	}
	return all, nil
}

func (c *fakeCluster) Connect(_ context.Context, name string) (Connection, error) {
	pod := c.pod(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down || pod.unreachable.Load() {
		return nil, fmt.Errorf("port-forwarding to pod %s: %w", name, errDown)
	}
	conn := &fakeConnection{pod: pod, done: make(chan struct{}), streams: make(map[fakeStream]bool)}
	pod.mu.Lock()
	defer pod.mu.Unlock()
	pod.dials++
	pod.conns = append(pod.conns, conn)
	return conn, nil
}

// breakDown cuts everything, until repair.
func (c *fakeCluster) breakDown() {
	c.mu.Lock()
	c.down = true
	pods := slices.Clone(c.pods)
	c.mu.Unlock()
	for _, pod := range pods {
		pod.cut()
	}
}

func (c *fakeCluster) repair() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = false
}

// cut breaks all connections to the pod.
func (p *fakePod) cut() {
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, conn := range conns {
		conn.cut()
	}
}

// open is how many streams a pod has.
func (p *fakePod) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, conn := range p.conns {
		n += conn.open()
	}
	return n
}

// connections is how many connections to the pod there are.
func (p *fakePod) connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, func(c *fakeConnection) bool {
		select {
		case <-c.done:
			return true
		default:
			return false
		}
	})
	return len(p.conns)
}

// client is a caller's own side.
type client struct {
	*pipe

	served chan struct{}
}

// call connects to the forward.
func (c *fakeCluster) call() *client {
	theirs, ours := newPipe()
	cl := &client{theirs, make(chan struct{})}
	go func() {
		defer close(cl.served)
		c.forward.serve(c.ctx, ours)
	}()
	c.Cleanup(func() {
		_ = cl.Close()
		<-cl.served
	})
	return cl
}

// says writes all of it, without waiting for that.
func (cl *client) says(text string) {
	go func() { _, _ = io.WriteString(cl, text) }()
}

// hears reads one message.
func (cl *client) hears() (string, error) {
	buf := make([]byte, 64<<10)
	n, err := cl.Read(buf)
	return string(buf[:n]), err
}

// echo answers each message with the pod's name and the message, until the caller ends.
func echo(pod string, s fakeStream) {
	defer s.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		if err != nil {
			return
		}
		if _, err := io.WriteString(s, pod+":"+string(buf[:n])); err != nil {
			return
		}
	}
}

// refusal is what a node says of a port that nobody listens at.
var refusal = &portforward.StreamError{Message: "error forwarding port 80: dial tcp4 127.0.0.1:80: connect: connection refused"}
