// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/mux"
)

// session is the proxy's end of a tunnel. The fields below mu are guarded by the proxy's.
type session struct {
	tunnel   string
	mux      *mux.Session
	forwards connections
	resolver *resolver

	draining bool
	// connected is done once the tunnel has no transport, and nil while it has none.
	connected  context.Context //nolint:containedctx // the state of the session, not of a call
	disconnect context.CancelFunc
}

// isOn reports whether callers can be offered to the session. One whose transports are all gone may come back for those it
// has taken already, but nobody else waits for that.
func (s *session) isOn() bool { return s.connected != nil && !s.draining }

// serveTunnel takes a transport's connection for as long as it lasts, and a session for as long as that does which begins
// with it.
func (p *Proxy) serveTunnel(ctx context.Context, conn tcpConn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	var s *session
	var begins bool
	h, err := welcome(conn, p.cfg.Version, func(h hello) (a answer, err error) {
		s, begins, a, err = p.judge(h)
		return a, err
	})
	stop()
	var lanes errgroup.Group
	switch {
	case err == nil:
		lanes.Go(func() error { return s.mux.Carry(ctx, h.Lane, conn) })
	case errors.Is(err, errAsked):
		_ = conn.Close()
	default:
		p.cfg.Log.Warn("tunnel refused", "err", err, "plugin", h.Version)
		_ = conn.Close()
	}
	if begins {
		p.serveSession(ctx, s)
	}
	if err := lanes.Wait(); err != nil {
		p.cfg.Log.Info("transport ended", "session", h.Session, "lane", h.Lane, "err", err)
	}
}

// judge answers a hello: with the session it belongs to, which may begin with it, or with why it can't be had.
func (p *Proxy) judge(h hello) (s *session, begins bool, a answer, err error) {
	if h.Session == "" {
		return nil, false, a, errAsked
	}
	if h.Session != p.cfg.Session {
		return nil, false, a, fmt.Errorf("this traffic-proxy belongs to session %s, not %s", p.cfg.Session, h.Session)
	}
	for _, port := range h.Ports {
		if !p.accepts(port) {
			return nil, false, a, fmt.Errorf("this traffic-proxy has no tcp port %d", port)
		}
	}
	if h.Lane < 0 || h.Lane >= maxLanes {
		return nil, false, a, fmt.Errorf("a tunnel has no lane %d", h.Lane)
	}
	var earlier *session
	p.change(func() {
		switch {
		case p.session != nil && p.session.tunnel == h.Tunnel:
			s = p.session
		case !h.Resume:
			// An earlier tunnel has been given up by the plugin, whether or not this end has noticed.
			earlier, begins = p.session, true
			s = p.newSession(h)
		}
	})
	if s == nil {
		return nil, false, answer{Unknown: true}, errUnknownTunnel
	}
	if earlier != nil {
		earlier.mux.Close()
	}
	return s, begins, answer{Passed: p.passed.Swap(0)}, nil
}

// newSession makes a session for h the one that callers are offered to. The caller holds p.mu.
func (p *Proxy) newSession(h hello) *session {
	s := &session{tunnel: h.Tunnel, resolver: newResolver()}
	s.mux = mux.New(mux.Config{Grace: p.cfg.Grace, Changed: func() { p.lanesChanged(s) }})
	p.session = s
	p.taken = make(map[uint16]bool, len(h.Ports))
	for _, port := range h.Ports {
		p.taken[port] = true
	}
	p.cfg.Log.Info("session begins", "session", h.Session, "ports", h.Ports)
	return s
}

func (p *Proxy) accepts(port uint16) bool {
	for _, own := range p.cfg.Ports {
		if own.Network == "tcp" && own.Container == port {
			return true
		}
	}
	return false
}

// serveSession answers the streams that the laptop opens, until the session ends.
func (p *Proxy) serveSession(ctx context.Context, s *session) {
	defer context.AfterFunc(ctx, s.mux.Close)()
	// The session's end is what ends everything in it.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var g errgroup.Group
	for {
		st, err := s.mux.Accept(serving)
		if err != nil {
			break
		}
		g.Go(func() error {
			p.serveStream(serving, s, stream{st})
			return nil
		})
	}
	stop()
	_ = g.Wait() // its functions return no errors
	p.change(func() {
		if p.session == s {
			p.session = nil
		}
		s.hangUp()
	})
	p.cfg.Log.Info("session ends", "session", p.cfg.Session, "why", s.mux.Err())
}

// lanesChanged takes note of a transport that has come or gone.
func (p *Proxy) lanesChanged(s *session) {
	p.change(func() {
		switch lanes := s.mux.Lanes(); {
		case lanes == 0:
			s.hangUp()
		case s.connected == nil && p.session == s:
			s.connected, s.disconnect = context.WithCancel(context.Background())
		}
	})
}

// hangUp has connections that are being offered to the session handed over.
func (s *session) hangUp() {
	if s.connected != nil {
		s.disconnect()
		s.connected, s.disconnect = nil, nil
	}
}

// drainSession stops handing connections to s. What it has taken goes on.
func (p *Proxy) drainSession(s *session) { p.change(func() { s.draining = true }) }

// change runs a change to the session, and tells the dead-man's switch if there is one now that wasn't, or isn't one that was.
func (p *Proxy) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.isOn()
	do()
	if p.isOn() == was {
		return
	}
	select {
	case p.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// isOn reports whether there is a session to offer callers to. The caller holds p.mu.
func (p *Proxy) isOn() bool { return p.session != nil && p.session.isOn() }

func (p *Proxy) serveStream(ctx context.Context, s *session, st stream) {
	_ = st.SetReadDeadline(time.Now().Add(helloDeadline))
	h, err := readStreamHeader(st)
	if err != nil {
		st.reset(resetMalformed)
		return
	}
	_ = st.SetReadDeadline(time.Time{})
	switch h.kind {
	case controlStream:
		p.serveControl(s, st)
	case forwardStream:
		s.serveForward(ctx, st, h)
	case datagramStream:
		s.serveDatagrams(ctx, st, h)
	case reverseStream:
		st.reset(resetMalformed) // these are this end's to open
	}
}

// serveControl answers the plugin's requests.
func (p *Proxy) serveControl(s *session, st stream) {
	var request [1]byte
	for {
		if _, err := io.ReadFull(st, request[:]); err != nil || request[0] != drainRequest {
			st.reset(resetMalformed)
			return
		}
		p.drainSession(s)
		if _, err := st.Write([]byte{drainAnswer}); err != nil {
			return
		}
	}
}
