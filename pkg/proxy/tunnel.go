// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/mux"
)

// ErrTunnelEnded is returned by [Tunnel.Serve] when the transport, or the proxy, has gone.
var ErrTunnelEnded = errors.New("the tunnel to the traffic-proxy ended")

// Session is what the laptop's end of a tunnel needs to know.
type Session struct {
	// Version is the plugin's own, for the proxy to log.
	Version string
	// ID is the session's; the proxy knows it.
	ID string
	// Local maps the container ports to take connections of to the addresses that local processes listen at.
	Local map[uint16]string
	// Grace is how long the tunnel outlives its last transport: the proxy's.
	Grace time.Duration
	// Changed, if set, hears whenever the tunnel has lost its last transport, and when it has one again. It must return soon.
	Changed func(connected bool)
	// Passed, if set, hears how many connections to the session's ports went to the cluster because there was no transport.
	// Like Refused, it must return soon.
	Passed func(connections int64)
	// Refused, if set, hears of every connection that the local process at address didn't take; it must return soon.
	Refused func(address string, err error)
}

// Tunnel is the laptop's end: it gives the connections that the proxy offers to local processes. It runs over several
// transports, and dials again those that break.
type Tunnel struct {
	id        string
	session   Session
	transport Transport
	mux       *mux.Session
	first     net.Conn // lane 0, until Serve has it
	control   stream
	conns     connections
	connected atomic.Bool
	ending    atomic.Bool // from here: that is no cut
}

// Connect opens a tunnel over a new connection of transport. Whoever calls it calls [Tunnel.Serve], which ends it. Neither
// [ErrRejected] nor [ErrVersion] goes away by trying again.
func Connect(ctx context.Context, transport Transport, session Session) (*Tunnel, error) {
	t := &Tunnel{id: rand.Text(), session: session, transport: transport}
	conn, err := t.dial(ctx, 0, false)
	if err != nil {
		return nil, err
	}
	t.first = conn
	t.mux = mux.New(mux.Config{First: true, Grace: session.Grace, Changed: t.lanesChanged})
	control, err := t.mux.Open()
	if err == nil {
		t.control = stream{control}
		_, err = t.control.Write(streamHeader{kind: controlStream}.bytes())
	}
	if err != nil {
		t.mux.Close()
		_ = conn.Close()
		return nil, fmt.Errorf("opening the tunnel's control stream: %w", err)
	}
	return t, nil
}

// dial makes a connection for one of the tunnel's lanes.
func (t *Tunnel) dial(ctx context.Context, lane int, resume bool) (net.Conn, error) {
	conn, err := t.transport.Dial(ctx)
	if err != nil {
		return nil, err
	}
	// A hello has a deadline; ctx may end before.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	h := hello{Version: t.session.Version, Session: t.session.ID, Tunnel: t.id, Lane: lane, Resume: resume}
	for port := range t.session.Local {
		h.Ports = append(h.Ports, port)
	}
	a, err := greet(conn, h)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if a.Passed > 0 && t.session.Passed != nil {
		t.session.Passed(a.Passed)
	}
	return conn, nil
}

// Serve gives the offered connections to local processes until ctx ends, when it returns nil, or the tunnel does. It
// closes the tunnel, and with it what is still open.
func (t *Tunnel) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		t.ending.Store(true)
		t.mux.Close()
	})()
	// The lanes end with the tunnel, not before: it says goodbye on them.
	open, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	var g errgroup.Group
	for lane := range lanes {
		g.Go(func() error {
			t.keepLane(open, lane)
			return nil
		})
	}
	for {
		s, err := t.mux.Accept(open)
		if err != nil {
			break
		}
		g.Go(func() error {
			t.serveStream(ctx, stream{s})
			return nil
		})
	}
	end()
	_ = g.Wait() // its functions return no errors
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrTunnelEnded, t.mux.Err())
}

// Connected reports whether the tunnel has a connection. Without one, what is open in it waits.
func (t *Tunnel) Connected() bool { return t.mux.Lanes() > 0 }

// Probe finds out soon which transports still work. Whoever has reason to think that the network is another calls it.
func (t *Tunnel) Probe() { t.mux.Probe() }

func (t *Tunnel) serveStream(ctx context.Context, s stream) {
	_ = s.SetReadDeadline(time.Now().Add(helloDeadline))
	h, err := readStreamHeader(s)
	if err != nil || h.kind != reverseStream {
		s.reset(resetMalformed)
		return
	}
	_ = s.SetReadDeadline(time.Time{})
	if !t.conns.admit() {
		s.reset(resetDraining)
		return
	}
	defer t.conns.release()
	address, ok := t.session.Local[h.port]
	if !ok {
		s.reset(resetPort)
		return
	}
	dialer := net.Dialer{Timeout: dialDeadline}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		s.reset(resetRefused)
		if t.session.Refused != nil && ctx.Err() == nil {
			t.session.Refused(address, err)
		}
		return
	}
	local := tcpConn{conn.(*net.TCPConn)}
	if _, err := s.Write([]byte{taken}); err != nil {
		local.abort()
		s.abort()
		return
	}
	t.conns.carry(s, local)
}

// Drain asks the proxy to offer nothing more and waits until the connections in progress have ended, at most until ctx
// ends; those it then breaks. It returns how many that were. Serve must be running, and goes on.
func (t *Tunnel) Drain(ctx context.Context) (broken int, err error) {
	stop := context.AfterFunc(ctx, func() { _ = t.control.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := t.control.Write([]byte{drainRequest}); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTunnelEnded, err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(t.control, answer[:]); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTunnelEnded, err)
	}
	return t.conns.drain(ctx), nil
}
