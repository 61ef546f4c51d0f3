// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/mux"
)

// Why a host in the cluster couldn't be reached, as the proxy says.
var (
	ErrUnresolved  = errors.New("it has no address in the cluster")
	ErrRefused     = errors.New("it refused the connection")
	ErrUnreachable = errors.New("it can't be reached from the cluster")
)

// Forward is the way from this machine to one port of one host in the cluster, through whatever tunnel there is at the
// moment. Its fields are set before it serves.
type Forward struct {
	// Host is as pods of the proxy's namespace would name it. It has at most 255 characters.
	Host string
	Port uint16
	// Tunnel returns the tunnel to use, after waiting for it if need be.
	Tunnel func(context.Context) (*Tunnel, error)

	open, sent, received atomic.Int64
	conns                connections
	mu                   sync.Mutex
	failure              error
}

// Traffic is what a [Forward] has carried.
type Traffic struct {
	// Open is how many connections, or UDP callers, there are now.
	Open int64
	// Sent and Received are bytes, to the cluster and from it.
	Sent, Received int64
	// Failure is why the last connection didn't reach its host, nil if it did.
	Failure error
}

// Traffic returns what the forward has carried so far.
func (f *Forward) Traffic() Traffic {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Traffic{Open: f.open.Load(), Sent: f.sent.Load(), Received: f.received.Load(), Failure: f.failure}
}

// ServeTCP takes the connections of l to the host, until ctx ends; then it closes l and breaks what is open.
func (f *Forward) ServeTCP(ctx context.Context, l *net.TCPListener) error {
	defer context.AfterFunc(ctx, func() {
		_ = l.Close()
		f.conns.breakAll()
	})()
	return acceptAll(ctx, l, func(ctx context.Context, caller tcpConn) {
		f.open.Add(1)
		defer f.open.Add(-1)
		s, err := f.dial(ctx, forwardStream)
		if err != nil {
			caller.abort()
			return
		}
		f.conns.carry(caller, counted{s, f})
	})
}

// ServeUDP takes the datagrams of conn to the host and its answers back, until ctx ends; then it closes conn.
func (f *Forward) ServeUDP(ctx context.Context, conn *net.UDPConn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	relayDatagrams(ctx, conn, func(ctx context.Context) (datagrams, error) {
		s, err := f.dial(ctx, datagramStream)
		if err != nil {
			return nil, err
		}
		f.open.Add(1)
		return &countedFlow{flow: flow{s}, f: f}, nil
	})
	return nil
}

// dial opens a stream to the host. That costs no round trip: a host that can't be reached shows in what is read.
func (f *Forward) dial(ctx context.Context, kind streamKind) (stream, error) {
	t, err := f.Tunnel(ctx)
	if err != nil {
		f.failed(err)
		return stream{}, err
	}
	opened, err := t.mux.Open()
	if err != nil {
		f.failed(err)
		return stream{}, err
	}
	s := stream{opened}
	if _, err := s.Write(streamHeader{kind: kind, port: f.Port, host: f.Host}.bytes()); err != nil {
		s.abort()
		f.failed(err)
		return stream{}, err
	}
	return s, nil
}

func (f *Forward) failed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failure = err
}

// heard takes note of what was read from the cluster, or why nothing could be.
func (f *Forward) heard(n int, err error) {
	f.received.Add(int64(n))
	reset, ok := errors.AsType[*mux.ResetError](err)
	switch {
	case !ok || !reset.Remote:
		f.failed(nil)
	case resetCode(reset.Code) == resetUnresolved:
		f.failed(fmt.Errorf("%s: %w", f.Host, ErrUnresolved))
	case resetCode(reset.Code) == resetDialRefused:
		f.failed(fmt.Errorf("%s:%d: %w", f.Host, f.Port, ErrRefused))
	case resetCode(reset.Code) == resetUnreachable:
		f.failed(fmt.Errorf("%s:%d: %w", f.Host, f.Port, ErrUnreachable))
	}
}

// counted is a connection in the tunnel whose bytes are counted.
type counted struct {
	stream
	f *Forward
}

func (c counted) pass(take func(net.Buffers)) error {
	var n int
	err := c.stream.pass(func(data net.Buffers) {
		for _, b := range data {
			n += len(b)
		}
		take(data)
	})
	c.f.heard(n, err)
	return err
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.stream.Write(p)
	c.f.sent.Add(int64(n))
	return n, err
}

// countedFlow is one caller's datagrams, counted.
type countedFlow struct {
	flow
	f     *Forward
	ended sync.Once
}

func (c *countedFlow) Read(p []byte) (int, error) {
	n, err := c.flow.Read(p)
	c.f.heard(n, err)
	return n, err
}

func (c *countedFlow) Write(p []byte) (int, error) {
	n, err := c.flow.Write(p)
	c.f.sent.Add(int64(n))
	return n, err
}

func (c *countedFlow) Close() error {
	c.ended.Do(func() { c.f.open.Add(-1) })
	return c.flow.Close()
}

// RoundTrip returns how long the way to the proxy and back takes, or 0 as long as that isn't known.
func (t *Tunnel) RoundTrip() time.Duration { return t.mux.RoundTrip() }
