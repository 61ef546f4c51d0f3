// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	dialDeadline = 5 * time.Second
	// originTry bounds each of the tries to reach the origin Service within that, originPause is what lies between two.
	originTry   = time.Second
	originPause = 100 * time.Millisecond
	// afterglow is how long no caller must have come before a proxy that was told to stop stops accepting: nodes go on
	// sending callers until they have heard that its Service leads elsewhere. kube-proxy may gather changes for a second
	// before it applies them, and a busy node takes longer. afterglowLimit is when it stops in any case.
	afterglow      = 1500 * time.Millisecond
	afterglowLimit = 6 * time.Second
	// drainDeadline is how long connections may take to end by themselves after that.
	drainDeadline = 5 * time.Second
)

// Port is one port that the proxy accepts connections on.
type Port struct {
	// Network is "tcp" or "udp".
	Network string
	// Container is the port the origin pods' containers listen on, and so the proxy's.
	Container uint16
	// Service is the port of the origin Service that leads to it.
	Service uint16
}

func (p Port) String() string { return fmt.Sprintf("%d/%s", p.Container, p.Network) }

// Config is what a [Proxy] needs to know.
type Config struct {
	// Version is the program's own, which it says to whoever opens the tunnel, or asks.
	Version string
	// Session is the ID of the session that may open the tunnel.
	Session string
	// Ports are all ports of the Service, intercepted or not; none, if the proxy stands in for no Service.
	Ports []Port
	// Origin is the host or address of the origin Service.
	Origin string
	// Tunnel is the loopback address the tunnel is accepted at.
	Tunnel string
	// Grace is how long there may be no session before Abandoned is called, Abandoned what is to be done then. Its
	// context ends when a session comes back, or the proxy stops.
	Grace     time.Duration
	Abandoned func(context.Context)
	// Leaving, if set, is called when the proxy is told to stop, before it lets its callers go.
	Leaving func(context.Context)
	// Log hears what happens to the session. Connections are not logged.
	Log *slog.Logger
}

// Proxy is the end in the cluster: it accepts the connections meant for the origin pods and gives each of them to the
// session, if there is one that takes its port, or else to the origin pods.
type Proxy struct {
	cfg       Config
	conns     connections
	afterglow time.Duration
	// lastCaller is when the last one came, in Unix nanoseconds.
	lastCaller atomic.Int64
	// passed counts the connections that went to the origin pods because the session that takes their port wasn't there,
	// and hasn't been told yet.
	passed atomic.Int64

	mu      sync.Mutex
	session *session        // nil before the first, and when the last has ended
	taken   map[uint16]bool // the ports that the last session takes, or took
	changed chan struct{}   // told when there is a session that wasn't there, or isn't one that was
}

// New returns a proxy that [Proxy.Run] starts.
func New(cfg Config) *Proxy {
	return &Proxy{cfg: cfg, afterglow: afterglow, changed: make(chan struct{}, 1)}
}

// Run listens on every port, then for the tunnel, and serves until ctx ends. Then it goes on for as long
// as callers come, so that none meets a closed port, lets open connections end for up to 5 s, and returns. A tunnel that can be opened
// therefore means that the ports are open.
func (p *Proxy) Run(ctx context.Context) error {
	var listeners closers
	defer listeners.close()
	var serve []func(context.Context) error
	for _, port := range p.cfg.Ports {
		run, err := p.listen(ctx, port, &listeners)
		if err != nil {
			return fmt.Errorf("listening on port %s: %w", port, err)
		}
		serve = append(serve, run)
	}
	tunnel, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.cfg.Tunnel)
	if err != nil {
		return fmt.Errorf("listening for the tunnel on %s: %w", p.cfg.Tunnel, err)
	}
	listeners.add(tunnel)
	serve = append(serve, func(ctx context.Context) error {
		return acceptAll(ctx, tunnel, p.serveTunnel)
	})

	// What is served ends by its listeners being closed, not by ctx.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, serving := errgroup.WithContext(serving)
	for _, run := range serve {
		g.Go(func() error { return run(serving) })
	}
	watching, unwatch := context.WithCancel(ctx)
	g.Go(func() error {
		p.watchSession(watching)
		return nil
	})
	g.Go(func() error {
		defer unwatch()
		select {
		case <-ctx.Done():
			if p.cfg.Leaving != nil {
				p.cfg.Leaving(serving)
			}
			if len(p.cfg.Ports) > 0 {
				p.glow(serving)
			}
		case <-serving.Done():
		}
		listeners.close()
		p.endConnections(serving)
		stop()
		return nil
	})
	return g.Wait()
}

// glow goes on accepting until no callers come any more.
func (p *Proxy) glow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, afterglowLimit)
	defer cancel()
	since := time.Now()
	for {
		if last := time.Unix(0, p.lastCaller.Load()); last.After(since) {
			since = last
		}
		left := p.afterglow - time.Since(since)
		if left <= 0 || !wait(ctx, left) {
			return
		}
	}
}

func (p *Proxy) endConnections(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainDeadline)
	defer cancel()
	if broken := p.conns.drain(ctx); broken > 0 {
		p.cfg.Log.Warn("connections broken by stopping", "count", broken)
	}
}

// listen opens port and returns what serves it until its listener is closed.
func (p *Proxy) listen(ctx context.Context, port Port, listeners *closers) (func(context.Context) error, error) {
	address := net.JoinHostPort("", strconv.Itoa(int(port.Container)))
	if port.Network == "udp" {
		conn, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", address)
		if err != nil {
			return nil, err
		}
		listeners.add(conn)
		return func(ctx context.Context) error {
			relayDatagrams(ctx, conn, func(ctx context.Context) (datagrams, error) {
				dialer := net.Dialer{Timeout: originTry}
				return dialer.DialContext(ctx, "udp", p.origin(port))
			})
			return nil
		}, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	listeners.add(l)
	return func(ctx context.Context) error {
		return acceptAll(ctx, l, func(ctx context.Context, c tcpConn) { p.serveCaller(ctx, c, port) })
	}, nil
}

// serveCaller finds one caller its answerer and carries the connection until it ends.
func (p *Proxy) serveCaller(ctx context.Context, caller tcpConn, port Port) {
	p.lastCaller.Store(time.Now().UnixNano())
	if !p.conns.admit() {
		caller.abort()
		return
	}
	defer p.conns.release()
	session, missing := p.route(port.Container)
	var kept []byte
	if session != nil {
		s, unanswered, err := offer(session, caller, port.Container)
		switch {
		case err == nil:
			p.conns.carry(caller, s)
			return
		case errors.Is(err, errCallerGone):
			caller.abort()
			return
		}
		kept = unanswered
		missing = !refusedBySession(err) // it knows what it has refused
	}
	if missing {
		p.passed.Add(1)
	}
	p.passThrough(ctx, caller, port, kept)
}

// route decides who gets a connection that arrives at port: a session, or nil for the origin pods. Where they get it only
// because the session isn't there, missing is true.
func (p *Proxy) route(port uint16) (s *offering, missing bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.taken[port]:
		return nil, false
	case !p.isOn():
		return nil, true
	}
	return &offering{mux: p.session.mux, connected: p.session.connected}, false
}

// passThrough connects the caller to the origin pods, which first get what was kept of it.
func (p *Proxy) passThrough(ctx context.Context, caller tcpConn, port Port, kept []byte) {
	origin, err := p.dialOrigin(ctx, port)
	if err != nil {
		caller.abort() // as if the origin pods had refused it, which they did
		return
	}
	if _, err := origin.Write(kept); err != nil {
		caller.abort()
		origin.abort()
		return
	}
	p.conns.carry(caller, origin)
}

// dialOrigin connects to the origin Service. That is as young as this proxy, and nodes that have not heard of it yet refuse
// or lose what is sent to it, so that it is tried more than once. Each try comes from another port: a node's connection
// tracking remembers what it did with the one before.
func (p *Proxy) dialOrigin(ctx context.Context, port Port) (tcpConn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialDeadline)
	defer cancel()
	dialer := net.Dialer{Timeout: originTry}
	for {
		conn, err := dialer.DialContext(ctx, "tcp", p.origin(port))
		if err == nil {
			return tcpConn{conn.(*net.TCPConn)}, nil
		}
		if !wait(ctx, originPause) {
			return tcpConn{}, err
		}
	}
}

func (p *Proxy) origin(port Port) string {
	return net.JoinHostPort(p.cfg.Origin, strconv.Itoa(int(port.Service)))
}
