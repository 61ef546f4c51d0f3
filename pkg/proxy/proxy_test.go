// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testDeadline is more than any part of a test may take on a busy machine.
const testDeadline = 20 * time.Second

// server answers every connection with its name, a line, and then gives back what it gets.
type server struct {
	net.Listener
	name  string
	taken atomic.Int32
}

func startServer(t *testing.T, name string) *server {
	t.Helper()
	s := &server{Listener: listenLocal(t), name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = acceptAll(t.Context(), s.Listener, func(_ context.Context, c tcpConn) {
			s.taken.Add(1)
			defer c.Close()
			if _, err := fmt.Fprintln(c, name); err != nil {
				return
			}
			_, _ = io.Copy(c, c)
		})
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return s
}

func listenLocal(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// freePort returns a port that was free a moment ago.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l := listenLocal(t)
	defer l.Close()
	return portOf(l.Addr())
}

func portOf(a net.Addr) uint16 { return a.(*net.TCPAddr).AddrPort().Port() }

// tcpTransport dials the proxy's tunnel listener as a port-forward would.
type tcpTransport string

func (a tcpTransport) Dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", string(a))
}

// stand is a running proxy in front of an origin.
type stand struct {
	origin *server
	proxy  *Proxy
	port   uint16
	tunnel tcpTransport
	stop   context.CancelFunc
	ended  chan error
}

const (
	testSession = "5e551011"
	testVersion = "v1.2.3"
)

// testGrace is more than a tunnel that can come back takes.
const testGrace = 10 * time.Second

func startProxy(t *testing.T) *stand {
	t.Helper()
	s := &stand{origin: startServer(t, "origin"), port: freePort(t), ended: make(chan error, 1)}
	s.tunnel = tcpTransport(fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	s.proxy = New(Config{
		Version: testVersion,
		Session: testSession,
		Ports:   []Port{{Network: "tcp", Container: s.port, Service: portOf(s.origin.Addr())}},
		Origin:  "127.0.0.1",
		Tunnel:  string(s.tunnel),
		Grace:   testGrace,
		Log:     slog.New(slog.DiscardHandler),
	})
	s.proxy.afterglow = 0
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	go func() { s.ended <- s.proxy.Run(ctx) }()
	t.Cleanup(s.end)
	eventually(t, "the tunnel's listener", func() bool {
		c, err := net.Dial("tcp", string(s.tunnel))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return s
}

func (s *stand) hasSession() bool {
	to, _ := s.proxy.route(s.port)
	return to != nil
}

func (s *stand) end() {
	s.stop()
	s.ended <- <-s.ended
}

// connect opens a tunnel that takes the proxy's port to the local address, and serves it until the test ends.
func (s *stand) connect(t *testing.T, local string, with func(*Session)) *Tunnel {
	t.Helper()
	return s.connectOver(t, s.tunnel, local, with)
}

func (s *stand) connectOver(t *testing.T, transport Transport, local string, with func(*Session)) *Tunnel {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testDeadline)
	defer cancel()
	session := Session{ID: testSession, Grace: testGrace, Local: map[uint16]string{s.port: local}}
	if with != nil {
		with(&session)
	}
	tunnel, err := Connect(ctx, transport, session)
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = tunnel.Serve(serving)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	eventually(t, "the session", func() bool { return s.hasSession() })
	return tunnel
}

func (s *stand) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn := s.dialOnly(t)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// dialOnly leaves it to the test to close the connection.
func (s *stand) dialOnly(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(testDeadline)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(testDeadline)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", testDeadline, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// exchange sends what the caller has, ends its side, and returns all that comes back.
func exchange(t *testing.T, conn *net.TCPConn, sent []byte) []byte {
	t.Helper()
	go func() {
		_, _ = conn.Write(sent)
		_ = conn.CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantAnswer(t *testing.T, got []byte, from string, sent []byte) {
	t.Helper()
	if want := append([]byte(from+"\n"), sent...); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, starting %.20q; want %d, from %s", len(got), got, len(want), from)
	}
}

func randomBytes(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte("proxy"))).Read(p)
	return p
}

func TestWhoAnswers(t *testing.T) {
	t.Parallel()
	sent := randomBytes(3 * keepLimit) // more than may be kept of a connection nobody has taken
	t.Run("no session", func(t *testing.T) {
		t.Parallel()
		s := startProxy(t)
		wantAnswer(t, exchange(t, s.dial(t), sent), "origin", sent)
	})
	t.Run("session", func(t *testing.T) {
		t.Parallel()
		s := startProxy(t)
		local := startServer(t, "local")
		s.connect(t, local.Addr().String(), nil)
		wantAnswer(t, exchange(t, s.dial(t), sent), "local", sent)
		if n := s.origin.taken.Load(); n != 0 {
			t.Errorf("the origin was connected to %d times", n)
		}
	})
	t.Run("refused by the local process", func(t *testing.T) {
		t.Parallel()
		s := startProxy(t)
		var refused atomic.Int32
		s.connect(t, fmt.Sprintf("127.0.0.1:%d", freePort(t)), func(session *Session) {
			session.Refused = func(string, error) { refused.Add(1) }
		})
		wantAnswer(t, exchange(t, s.dial(t), sent), "origin", sent)
		if n := refused.Load(); n != 1 {
			t.Errorf("heard of %d refusals, want 1", n)
		}
	})
	t.Run("drained", func(t *testing.T) {
		t.Parallel()
		s := startProxy(t)
		local := startServer(t, "local")
		tunnel := s.connect(t, local.Addr().String(), nil)
		if _, err := tunnel.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, exchange(t, s.dial(t), sent), "origin", sent)
	})
	t.Run("tunnel gone", func(t *testing.T) {
		t.Parallel()
		s := startProxy(t)
		local := startServer(t, "local")
		tunnel := s.connect(t, local.Addr().String(), nil)
		tunnel.mux.Close()
		eventually(t, "the session's end", func() bool { return !s.hasSession() })
		wantAnswer(t, exchange(t, s.dial(t), sent), "origin", sent)
	})
}

// A laptop that is gone without a word: its transport takes bytes and answers nothing.
func TestSilentTunnelIsHandedOver(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	conn, err := net.Dial("tcp", string(s.tunnel))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := greet(conn, hello{Session: testSession, Ports: []uint16{s.port}, Tunnel: "silent"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session", func() bool { return s.hasSession() })
	sent := randomBytes(10_000)
	started := time.Now()
	wantAnswer(t, exchange(t, s.dial(t), sent), "origin", sent)
	if took := time.Since(started); took < time.Second {
		t.Errorf("handed over after %v: not because of silence", took)
	}
}

func TestResetIsNoEndOfData(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	l := listenLocal(t)
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "half an ans")
		_, _ = io.ReadFull(c, make([]byte, 5))
		tcpConn{c.(*net.TCPConn)}.abort()
	}()
	s.connect(t, l.Addr().String(), nil)
	conn := s.dial(t)
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(conn); err == nil {
		t.Error("a broken connection looks like one that ended")
	}
}

func TestCallerResetReachesLocal(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	l := listenLocal(t)
	defer l.Close()
	ended := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			ended <- nil
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "welcome")
		_, err = io.ReadAll(c)
		ended <- err
	}()
	s.connect(t, l.Addr().String(), nil)
	conn := s.dial(t)
	if _, err := io.ReadFull(conn, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	tcpConn{conn}.abort()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the local process saw an end of data instead of a broken connection")
		}
	case <-time.After(testDeadline):
		t.Error("the local process still waits")
	}
}

func TestDrain(t *testing.T) {
	t.Parallel()
	t.Run("waits for an answer that is owed", func(t *testing.T) {
		t.Parallel()
		s := startProxy(t)
		asked, answer := make(chan struct{}), make(chan struct{})
		l := listenLocal(t)
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = io.ReadFull(c, make([]byte, 8))
			close(asked)
			<-answer
			_, _ = io.WriteString(c, "response")
			_, _ = io.ReadAll(c)
		}()
		tunnel := s.connect(t, l.Addr().String(), nil)
		conn := s.dial(t)
		if _, err := io.WriteString(conn, "question"); err != nil {
			t.Fatal(err)
		}
		<-asked
		drained := make(chan int, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), testDeadline)
			defer cancel()
			broken, _ := tunnel.Drain(ctx)
			drained <- broken
		}()
		eventually(t, "the drain", func() bool { return !s.hasSession() })
		time.AfterFunc(2*longestQuiet, func() { close(answer) }) // longer than a silence that would end it
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != "response" {
			t.Errorf("got %q, %v", got, err)
		}
		conn.Close()
		if broken := <-drained; broken != 0 {
			t.Errorf("broke %d connections", broken)
		}
	})
	t.Run("breaks what doesn't end", func(t *testing.T) {
		t.Parallel()
		s := startProxy(t)
		l := listenLocal(t)
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err == nil {
				defer c.Close()
				_, _ = io.ReadAll(c) // and never answers
			}
		}()
		tunnel := s.connect(t, l.Addr().String(), nil)
		conn := s.dial(t)
		if _, err := io.WriteString(conn, "question"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the connection", func() bool {
			tunnel.conns.mu.Lock()
			defer tunnel.conns.mu.Unlock()
			return len(tunnel.conns.carried) == 1
		})
		ctx, cancel := context.WithTimeout(t.Context(), 50*drainTick)
		defer cancel()
		if broken, err := tunnel.Drain(ctx); broken != 1 || err != nil {
			t.Errorf("broke %d connections, %v; want 1", broken, err)
		}
		if _, err := io.ReadAll(conn); err == nil {
			t.Error("the caller saw an end of data instead of a broken connection")
		}
	})
}

func TestStopLetsCallersFinish(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	conn := s.dial(t)
	name := make([]byte, len("origin\n"))
	if _, err := io.ReadFull(conn, name); err != nil {
		t.Fatal(err)
	}
	s.proxy.afterglow = afterglow
	s.stop()
	// Late callers still get in for a moment, and early ones are answered.
	late := s.dial(t)
	wantAnswer(t, exchange(t, late, []byte("late")), "origin", []byte("late"))
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, name[:1]); err != nil || name[0] != 'x' {
		t.Errorf("got %q, %v", name[:1], err)
	}
	conn.Close()
	select {
	case err := <-s.ended:
		s.ended <- err
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testDeadline):
		t.Error("a proxy that was stopped goes on")
	}
}

func TestSessionIsReplacedByItself(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	first, second := startServer(t, "first"), startServer(t, "second")
	s.connect(t, first.Addr().String(), nil)
	was, _ := s.proxy.route(s.port)
	s.connect(t, second.Addr().String(), nil)
	eventually(t, "the second tunnel", func() bool { to, _ := s.proxy.route(s.port); return to != nil && to.mux != was.mux })
	wantAnswer(t, exchange(t, s.dial(t), []byte("hi")), "second", []byte("hi"))
}

// A session that comes back is told what it has missed, once, and not what it has refused itself.
func TestPassed(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	sent := []byte("hello")
	wantAnswer(t, exchange(t, s.dial(t), sent), "origin", sent) // before there was any session
	told := make(map[string]int64)
	hear := func(which string) func(*Session) {
		return func(session *Session) { session.Passed = func(n int64) { told[which] += n } }
	}
	first := s.connect(t, fmt.Sprintf("127.0.0.1:%d", freePort(t)), hear("first"))
	wantAnswer(t, exchange(t, s.dial(t), sent), "origin", sent) // refused
	first.mux.Close()
	eventually(t, "the session's end", func() bool { return !s.hasSession() })
	for range 3 {
		wantAnswer(t, exchange(t, s.dial(t), sent), "origin", sent)
	}
	s.connect(t, "127.0.0.1:1", hear("second"))
	s.connect(t, "127.0.0.1:1", hear("third"))
	if len(told) != 1 || told["second"] != 3 {
		t.Errorf("told %v; want 3, and only the second", told)
	}
}

func TestConnectRefused(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	tests := []struct {
		name    string
		session Session
	}{
		{"another session", Session{ID: "07er", Local: map[uint16]string{s.port: "localhost:1"}}},
		{"a port the proxy doesn't have", Session{ID: testSession, Grace: testGrace, Local: map[uint16]string{s.port + 1: "localhost:1"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := Connect(t.Context(), s.tunnel, test.session)
			if !errors.Is(err, ErrRejected) {
				t.Errorf("got %v, want %v", err, ErrRejected)
			}
			if s.hasSession() {
				t.Error("there is a session all the same")
			}
		})
	}
}

func TestManyConnectionsAtOnce(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	local := startServer(t, "local")
	s.connect(t, local.Addr().String(), nil)
	const count = 200
	conns := make([]*net.TCPConn, count)
	for i := range conns { // all open before the first is used
		conns[i] = s.dial(t)
	}
	for i, conn := range conns {
		sent := fmt.Appendf(nil, "connection %d", i)
		wantAnswer(t, exchange(t, conn, sent), "local", sent)
	}
}
