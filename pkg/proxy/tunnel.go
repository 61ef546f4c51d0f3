// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrTunnelEnded is returned by [Tunnel.Serve] when the transport, or the proxy, has gone.
var ErrTunnelEnded = errors.New("the tunnel to the traffic-proxy ended")

// Session is what the laptop's end of a tunnel needs to know.
type Session struct {
	// ID is the session's; the proxy knows it.
	ID string
	// Local maps the container ports to take connections of to the addresses that local processes listen at.
	Local map[uint16]string
	// Refused, if set, hears of every connection that the local process at address didn't take; it must return soon.
	Refused func(address string, err error)
}

// Tunnel is the laptop's end: it gives the connections that the proxy offers to local processes.
type Tunnel struct {
	// Passed is how many connections to the session's ports went to the cluster since the tunnel before this one ended.
	Passed int64

	session Session
	mux     mux
	control stream
	conns   connections
}

// Connect opens a tunnel over a new connection of transport. Whoever calls it calls [Tunnel.Serve], which ends it.
func Connect(ctx context.Context, transport Transport, session Session) (*Tunnel, error) {
	conn, err := transport.Dial(ctx)
	if err != nil {
		return nil, err
	}
	// A hello has a deadline; ctx may end before.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	t, err := connect(ctx, conn, session)
	if !stop() && err == nil {
		_ = t.mux.close()
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return t, nil
}

func connect(ctx context.Context, conn net.Conn, session Session) (*Tunnel, error) {
	h := hello{Session: session.ID}
	for port := range session.Local {
		h.Ports = append(h.Ports, port)
	}
	a, err := greet(conn, h)
	if err != nil {
		return nil, err
	}
	m, err := newMux(conn, true)
	if err != nil {
		return nil, err
	}
	control, err := m.open(ctx)
	if err == nil {
		_, err = control.Write(streamHeader{kind: controlStream}.append(nil))
	}
	if err != nil {
		_ = m.close()
		return nil, fmt.Errorf("opening the tunnel's control stream: %w", err)
	}
	return &Tunnel{Passed: a.Passed, session: session, mux: m, control: control}, nil
}

// Serve gives the offered connections to local processes until ctx ends, when it returns nil, or the tunnel does. It
// closes the tunnel, and with it what is still open.
func (t *Tunnel) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = t.mux.close() })
	defer stop()
	var g errgroup.Group
	for {
		s, err := t.mux.accept()
		if err != nil {
			break
		}
		g.Go(func() error {
			t.serveStream(ctx, s)
			return nil
		})
	}
	_ = t.mux.close()
	_ = g.Wait() // its functions return no errors
	if ctx.Err() != nil {
		return nil
	}
	return ErrTunnelEnded
}

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
