// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

var errAway = errors.New("the network is away")

// flaky is a transport whose connections can all be cut at once.
type flaky struct {
	Transport

	mu    sync.Mutex
	away  bool
	conns []net.Conn
}

func (f *flaky) Dial(ctx context.Context) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errAway
	}
	conn, err := f.Transport.Dial(ctx)
	if err == nil {
		f.conns = append(f.conns, conn)
	}
	return conn, err
}

// cut ends all connections. With away, none can be made after that.
func (f *flaky) cut(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		_ = conn.Close()
	}
	f.conns, f.away = nil, away
}

// cutOne ends the connection that was made first.
func (f *flaky) cutOne() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.conns) > 0 {
		_ = f.conns[0].Close()
		f.conns = f.conns[1:]
	}
}

func (f *flaky) back() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = false
}

// What is open in a tunnel outlives its transports, byte for byte.
func TestCutsGoUnnoticed(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	local := startServer(t, "local")
	transport := &flaky{Transport: s.tunnel}
	s.connectOver(t, transport, local.Addr().String(), nil)
	conn := s.dial(t)
	name := make([]byte, len("local\n"))
	if _, err := io.ReadFull(conn, name); err != nil {
		t.Fatal(err)
	}
	const rounds, all = 12, 4
	for round := range rounds {
		if err := conn.SetDeadline(time.Now().Add(testDeadline)); err != nil {
			t.Fatal(err)
		}
		sent := randomBytes(1 << 20)
		go func() { _, _ = conn.Write(sent) }()
		got := make([]byte, len(sent))
		half := len(got) / 2
		if _, err := io.ReadFull(conn, got[:half]); err != nil {
			t.Fatal(err)
		}
		if round%all == 0 {
			transport.cut(false)
		} else {
			transport.cutOne()
		}
		if _, err := io.ReadFull(conn, got[half:]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, sent) {
			t.Fatalf("round %d: other bytes than were sent", round)
		}
	}
	t.Logf("%d MiB both ways, %d cuts", rounds, rounds)
}

// While there is no transport, new connections go to the origin at once, and what is open waits.
func TestAwayAndBack(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	local := startServer(t, "local")
	transport := &flaky{Transport: s.tunnel}
	changes := make(chan bool, 10)
	s.connectOver(t, transport, local.Addr().String(), func(session *Session) {
		session.Changed = func(connected bool) { changes <- connected }
	})
	if !<-changes {
		t.Fatal("the first change is an end")
	}
	open := s.dial(t)
	name := make([]byte, len("local\n"))
	if _, err := io.ReadFull(open, name); err != nil {
		t.Fatal(err)
	}
	transport.cut(true)
	if <-changes {
		t.Fatal("the second change is no end")
	}
	eventually(t, "the proxy to notice", func() bool { return !s.hasSession() })
	wantAnswer(t, exchange(t, s.dial(t), []byte("new")), "origin", []byte("new"))
	if _, err := io.WriteString(open, "x"); err != nil {
		t.Fatal(err)
	}
	transport.back()
	if !<-changes {
		t.Fatal("the third change is an end")
	}
	if _, err := io.ReadFull(open, name[:1]); err != nil || name[0] != 'x' {
		t.Errorf("got %q, %v", name[:1], err)
	}
	eventually(t, "the session", func() bool { return s.hasSession() })
	wantAnswer(t, exchange(t, s.dial(t), []byte("new")), "local", []byte("new"))
}

// A proxy that has restarted knows nothing of the tunnel: it ends, instead of being dialled for ever.
func TestNothingToResume(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	tunnel, err := Connect(t.Context(), s.tunnel, Session{ID: testSession, Grace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- tunnel.Serve(t.Context()) }()
	eventually(t, "the session", func() bool { return s.proxy.hasSession() })
	s.proxy.change(func() { s.proxy.session.tunnel = "another" })
	s.proxy.session.mux.Close()
	select {
	case err := <-served:
		if !errors.Is(err, ErrTunnelEnded) {
			t.Errorf("got %v, want %v", err, ErrTunnelEnded)
		}
	case <-time.After(testDeadline):
		t.Error("it goes on")
	}
}
