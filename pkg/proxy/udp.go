// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"io"
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

// datagrams is one caller's way to whoever answers: a UDP socket, or what stands for one. Writes and reads are whole
// datagrams.
type datagrams interface {
	io.ReadWriteCloser
	SetReadDeadline(t time.Time) error
}

// relayDatagrams passes the datagrams that come to conn on, and their answers back, until conn is closed. Each caller gets
// one of what dial makes, so that answers find their way.
func relayDatagrams(ctx context.Context, conn net.PacketConn, dial func(context.Context) (datagrams, error)) {
	r := datagramRelay{conn: conn, dial: dial, callers: make(map[string]datagrams)}
	defer func() { _ = r.answers.Wait() }() // returns no errors
	defer r.close()
	buf := make([]byte, maxDatagram)
	for {
		n, caller, err := conn.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if !wait(ctx, acceptRetry) {
				return
			}
			continue
		}
		r.pass(ctx, caller, buf[:n])
	}
}

type datagramRelay struct {
	conn    net.PacketConn
	dial    func(context.Context) (datagrams, error)
	answers errgroup.Group

	mu      sync.Mutex
	callers map[string]datagrams
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
		var err error
		if out, err = r.dial(ctx); err != nil {
			return
		}
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

// answer sends datagrams back to their caller until there have been none for a while.
func (r *datagramRelay) answer(caller net.Addr, out datagrams) {
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
