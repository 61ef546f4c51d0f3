// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/moby/spdystream"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/streaming/pkg/httpstream"
)

// openTimeout bounds the opening of a stream, however long its caller would wait.
const openTimeout = 30 * time.Second

// ErrCut is the end of a stream whose connection has broken, or that the pod's node has reset without a reason: what else was
// to come isn't known.
var ErrCut = errors.New("the connection to the pod has broken")

// Connection is an upgraded connection to one pod.
type Connection struct {
	frames *spdystream.Connection
	// socket is what the frames go over. Closing it ends pending writes, which closing the frames would wait for.
	socket io.Closer
	pod    string
	done   chan struct{}
	// goroutines end with the connection, and are waited for by Close.
	goroutines sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	last    int64 // request ID
	streams map[*Stream]struct{}
	opening int                 // how many streams aren't known by their IDs yet,
	early   map[uint32]struct{} // and IDs of streams that were reset meanwhile
	ping    *ping               // the one that isn't answered yet
}

// ping is asked once and may be waited for by many.
type ping struct {
	answered chan struct{}
	err      error // after answered
}

// Connect connects to the pod.
func (d *Dialer) Connect(ctx context.Context) (*Connection, error) {
	c, err := d.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("port-forwarding to pod %s: %w", d.pod, err)
	}
	return c, nil
}

func (d *Dialer) connect(ctx context.Context) (*Connection, error) {
	socket, err := d.upgradeWebSocket(ctx)
	if httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) {
		socket, err = d.upgradeSPDY(ctx)
	}
	if err != nil {
		return nil, err
	}
	c := &Connection{
		socket: socket, pod: d.pod, done: make(chan struct{}),
		streams: make(map[*Stream]struct{}), early: make(map[uint32]struct{}),
	}
	frames, err := spdystream.NewConnection(&frameConn{Conn: socket, reset: c.wasReset}, false)
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	c.frames = frames
	c.goroutines.Go(func() {
		// A server opens no streams.
		frames.Serve(func(s *spdystream.Stream) { _ = s.Refuse() })
	})
	c.goroutines.Go(func() {
		<-frames.CloseChan()
		close(c.done)
	})
	return c, nil
}

// Done is closed when the connection has broken or is closed.
func (c *Connection) Done() <-chan struct{} { return c.done }

// Close ends the connection and all of its streams.
func (c *Connection) Close() error {
	_ = c.socket.Close() // it is given up: how that goes doesn't matter any more
	c.mu.Lock()
	c.closed = true
	streams := c.streams
	c.streams = nil
	c.mu.Unlock()
	// What has arrived for a stream waits for its reader, and the end of the connection for that.
	for s := range streams {
		s.reset()
	}
	c.goroutines.Wait()
	return nil
}

// Ping asks the node for a sign of life and waits for it. A connection with a stream that isn't read from may not hear it.
func (c *Connection) Ping(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrCut
	}
	p := c.ping
	if p == nil {
		p = &ping{answered: make(chan struct{})}
		c.ping = p
		c.goroutines.Go(func() { c.askFor(p) })
	}
	c.mu.Unlock()
	select {
	case <-p.answered:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Connection) askFor(p *ping) {
	_, p.err = c.frames.Ping()
	c.mu.Lock()
	c.ping = nil
	c.mu.Unlock()
	close(p.answered)
}

// Open opens a stream to a port on the pod's loopback, and returns when the pod's node has agreed to that. By then nothing
// has been sent on it, and whether anybody in the pod listens isn't known yet: if nobody does, reading fails with a
// [StreamError].
func (c *Connection) Open(ctx context.Context, port uint16) (*Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	select {
	case <-c.done: // or its agreement would be waited for
		return nil, fmt.Errorf("opening a stream to port %d: %w", port, ErrCut)
	default:
	}
	s, err := c.request(port)
	if err != nil {
		return nil, err
	}
	// Waiting for the server's agreement can't be ended. So it goes on without anybody when ctx ends; it holds nothing then.
	agreed := make(chan error, 1)
	deadline, _ := ctx.Deadline()
	go func() {
		err := s.failure.WaitTimeout(time.Until(deadline))
		if err == nil {
			err = s.data.WaitTimeout(max(time.Until(deadline), time.Nanosecond))
		}
		agreed <- err
	}()
	select {
	case err = <-agreed:
	case <-c.done:
		err = ErrCut
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		// Resetting it may wait for the connection to take that, or to end.
		go s.reset()
		c.forget(s)
		return nil, fmt.Errorf("opening a stream to port %d: %w", port, err)
	}
	go s.hear()
	return s, nil
}

// request asks for the two streams of one forwarded connection: the one that errors arrive at, and the one for data. Their
// request ID tells the server that they belong together.
func (c *Connection) request(port uint16) (*Stream, error) {
	s := &Stream{conn: c, closed: make(chan struct{}), ended: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrCut
	}
	c.last++
	id := strconv.FormatInt(c.last, 10)
	c.streams[s] = struct{}{}
	c.opening++
	s.opening.Add(1)
	c.mu.Unlock()
	defer s.opening.Done()
	defer c.know(s)

	create := func(kind string) (*spdystream.Stream, error) {
		headers := http.Header{}
		headers.Set(corev1.StreamType, kind)
		headers.Set(corev1.PortHeader, strconv.Itoa(int(port)))
		headers.Set(corev1.PortForwardRequestIDHeader, id)
		return c.frames.CreateStream(headers, nil, false)
	}
	var err error
	if s.failure, err = create(corev1.StreamTypeError); err == nil {
		s.data, err = create(corev1.StreamTypeData)
	}
	if err != nil {
		c.forget(s)
		s.resetBoth() // what isn't reset is waited for when the connection ends
		return nil, fmt.Errorf("opening a stream to port %d: %w: %w", port, ErrCut, err)
	}
	return s, nil
}

// know takes note of a stream's ID. It may have been reset before that.
func (c *Connection) know(s *Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.data != nil {
		s.id = s.data.Identifier()
		if _, ok := c.early[s.id]; ok {
			s.broken.Store(true)
		}
	}
	c.opening--
	if c.opening == 0 {
		clear(c.early)
	}
}

// wasReset takes note that the node has reset a stream.
func (c *Connection) wasReset(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opening > 0 {
		c.early[id] = struct{}{}
	}
	for s := range c.streams {
		if s.id == id {
			s.broken.Store(true)
		}
	}
}

func (c *Connection) forget(s *Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, s)
}
