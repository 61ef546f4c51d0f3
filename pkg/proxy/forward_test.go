// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// forward serves a forward to a host and port over the tunnel until the test ends, and returns it and its local address.
func (s *stand) forward(t *testing.T, tunnel *Tunnel, network, host string, port uint16) (*Forward, string) {
	t.Helper()
	f := &Forward{Host: host, Port: port, Tunnel: func(context.Context) (*Tunnel, error) { return tunnel, nil }}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	var address string
	if network == "udp" {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		address = conn.LocalAddr().String()
		go func() { served <- f.ServeUDP(ctx, conn) }()
	} else {
		l := listenLocal(t)
		address = l.Addr().String()
		go func() { served <- f.ServeTCP(ctx, l.(*net.TCPListener)) }()
	}
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return f, address
}

func TestForward(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	tunnel := s.connect(t, "127.0.0.1:1", nil)
	target := startServer(t, "target")
	f, address := s.forward(t, tunnel, "tcp", "localhost", portOf(target.Addr()))
	sent := randomBytes(1 << 20)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wantAnswer(t, exchange(t, conn.(*net.TCPConn), sent), "target", sent)
	eventually(t, "the connection's end", func() bool { return f.Traffic().Open == 0 })
	if got := f.Traffic(); got.Sent != int64(len(sent)) || got.Received != int64(len("target\n")+len(sent)) || got.Failure != nil {
		t.Errorf("carried %+v", got)
	}
	_ = target.Close()
	wantFailure(t, f, address, ErrRefused)
	f, address = s.forward(t, tunnel, "tcp", "no.such.host.invalid", 80)
	wantFailure(t, f, address, ErrUnresolved)
}

// wantFailure connects to a forward whose host can't be reached: the connection breaks, and the forward says why.
func wantFailure(t *testing.T, f *Forward, address string, want error) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadAll(conn); err == nil {
		t.Error("a connection that failed looks like one that ended")
	}
	if got := f.Traffic().Failure; !errors.Is(got, want) {
		t.Errorf("it says %v, not %v", got, want)
	}
}

func TestForwardDatagrams(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	tunnel := s.connect(t, "127.0.0.1:1", nil)
	echo, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(buf[:n], from)
		}
	}()
	defer func() {
		echo.Close()
		<-echoed
	}()
	f, address := s.forward(t, tunnel, "udp", "127.0.0.1", echo.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	for caller := range 2 {
		conn, err := net.Dial("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(testDeadline)); err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{1, 0, 1200, 9000} {
			sent := randomBytes(size)
			if _, err := conn.Write(sent); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, maxDatagram)
			n, err := conn.Read(got)
			if err != nil || !bytes.Equal(got[:n], sent) {
				t.Fatalf("caller %d: got %d bytes, %v; want %d", caller, n, err, size)
			}
		}
	}
	if got := f.Traffic(); got.Open != 2 || got.Failure != nil {
		t.Errorf("carried %+v", got)
	}
}
