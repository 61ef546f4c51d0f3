// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// datagramIdle is how long a UDP caller is remembered after it or its answerer was last heard. Linux forgets
	// unanswered flows after the same time.
	datagramIdle = 30 * time.Second
	maxDatagram  = 64 << 10
	// maxCallers bounds the UDP callers that are remembered at once; datagrams of further ones are dropped.
	maxCallers = 4096
)

// passDatagrams passes UDP datagrams to the origin pods and their answers back, until conn is closed. Each caller has
// a socket of its own, so that answers find their way.
func (p *Proxy) passDatagrams(ctx context.Context, conn net.PacketConn, port Port) error {
	r := datagramRelay{conn: conn, origin: p.origin(port), callers: make(map[string]net.Conn)}
	defer func() { _ = r.answers.Wait() }() // returns no errors
	defer r.close()
	buf := make([]byte, maxDatagram)
	for {
		n, caller, err := conn.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			if !wait(ctx, acceptRetry) {
				return nil
			}
			continue
		}
		r.pass(ctx, caller, buf[:n])
	}
}

type datagramRelay struct {
	conn    net.PacketConn
	origin  string
	answers errgroup.Group

	mu      sync.Mutex
	callers map[string]net.Conn
}

// pass sends one datagram on. Like any network it may lose it.
func (r *datagramRelay) pass(ctx context.Context, caller net.Addr, datagram []byte) {
	key := caller.String()
	r.mu.Lock()
	out, known := r.callers[key]
	room := len(r.callers) < maxCallers
	r.mu.Unlock()
	if !known {
		if !room {
			return
		}
		dialer := net.Dialer{Timeout: dialDeadline}
		conn, err := dialer.DialContext(ctx, "udp", r.origin)
		if err != nil {
			return
		}
		out = conn
		r.mu.Lock()
		r.callers[key] = out
		r.mu.Unlock()
		r.answers.Go(func() error {
			r.answer(caller, out)
			return nil
		})
	}
	_ = out.SetReadDeadline(time.Now().Add(datagramIdle))
	_, _ = out.Write(datagram) // an error is an earlier datagram's, reported by ICMP: nobody is left to hear it
}

// answer sends the origin pods' datagrams back to their caller until there have been none for a while.
func (r *datagramRelay) answer(caller net.Addr, out net.Conn) {
	defer func() {
		r.mu.Lock()
		delete(r.callers, caller.String())
		r.mu.Unlock()
		_ = out.Close()
	}()
	buf := make([]byte, maxDatagram)
	for {
		n, err := out.Read(buf)
		var timeout net.Error
		switch {
		case errors.Is(err, net.ErrClosed), errors.As(err, &timeout) && timeout.Timeout():
			return
		case err != nil:
			continue // ICMP said that nobody listened; somebody may later
		}
		_ = out.SetReadDeadline(time.Now().Add(datagramIdle))
		if _, err := r.conn.WriteTo(buf[:n], caller); errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (r *datagramRelay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, out := range r.callers {
		_ = out.Close()
	}
}
