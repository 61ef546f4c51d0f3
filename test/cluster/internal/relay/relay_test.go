// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// pair returns the two ends of a connection that goes through a relay.
func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	target, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	client = dial(t, serve(t, target.Addr().String()))
	conn, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server = conn.(*net.TCPConn)
	t.Cleanup(func() { server.Close() })
	deadline(t, client, server)
	return client, server
}

func serve(t *testing.T, target string) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, target) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr()
}

func dial(t *testing.T, addr net.Addr) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func deadline(t *testing.T, conns ...net.Conn) {
	t.Helper()
	for _, c := range conns {
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}

// Either side may end its direction first, and the other must still get its answer through.
func TestHalfClose(t *testing.T) {
	for _, name := range []string{"client first", "server first"} {
		t.Run(name, func(t *testing.T) {
			first, second := pair(t)
			if name == "server first" {
				first, second = second, first
			}
			if _, err := io.WriteString(first, "question"); err != nil {
				t.Fatal(err)
			}
			if err := first.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(second); string(got) != "question" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
			if _, err := io.WriteString(second, "answer"); err != nil {
				t.Fatal(err)
			}
			second.Close()
			if got, err := io.ReadAll(first); string(got) != "answer" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestResetIsPassedOn(t *testing.T) {
	client, server := pair(t)
	if _, err := io.WriteString(server, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	abort(server)
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestRefusedIsAReset(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	client, err := net.Dial("tcp", serve(t, nobody.Addr().String()).String())
	if err == nil { // the reset may also be faster than Dial
		defer client.Close()
		deadline(t, client)
		_, err = client.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}
