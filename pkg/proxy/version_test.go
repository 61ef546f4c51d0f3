// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// otherProxy is a traffic-proxy of another version: it reads a hello as every version can, and answers in its own.
func otherProxy(t *testing.T, protocol byte, body string) Transport {
	t.Helper()
	l := listenLocal(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = acceptAll(t.Context(), l, func(_ context.Context, c tcpConn) {
			defer c.Close()
			var header [helloHeader]byte
			if _, err := io.ReadFull(c, header[:]); err != nil || string(header[:len(magic)]) != magic {
				t.Errorf("the hello begins with %q, %v", header, err)
				return
			}
			if _, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint16(header[len(magic)+1:]))); err != nil {
				t.Errorf("reading the hello: %v", err)
				return
			}
			answer := append([]byte(magic), protocol)
			answer = binary.BigEndian.AppendUint16(answer, uint16(len(body)))
			_, _ = c.Write(append(answer, body...))
		})
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return tcpTransport(l.Addr().String())
}

// A traffic-proxy of another version is told from one that can't be reached, at once and with its version.
func TestConnectToAnotherVersion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		protocol byte
		body     string
		want     VersionError
	}{
		{"an older one", 0, `{"error":"the other end speaks another version: 1, not 0"}`, VersionError{Protocol: 0}},
		{"a newer one", 2, `{"version":"v2.0.0","error":"no"}`, VersionError{Protocol: 2, Program: "v2.0.0"}},
		{"one that gives no reason", 2, `{}`, VersionError{Protocol: 2}},
		{"one that doesn't know the tunnel", 2, `{"unknown":true}`, VersionError{Protocol: 2}},
		{"one without JSON", 9, "\x00\x01", VersionError{Protocol: 9}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			transport := otherProxy(t, tt.protocol, tt.body)
			began := time.Now()
			_, err := Connect(t.Context(), transport, Session{ID: testSession, Grace: testGrace})
			other, ok := errors.AsType[*VersionError](err)
			if !ok || *other != tt.want || !errors.Is(err, ErrVersion) {
				t.Errorf("got %v, want %v", err, &tt.want)
			}
			if took := time.Since(began); took >= helloDeadline {
				t.Errorf("it took %v", took)
			}
			peer, err := Ask(t.Context(), transport, "v1.0.0")
			if want := (Peer{Version: tt.want.Program, Protocol: tt.want.Protocol}); err != nil || peer != want {
				t.Errorf("asked, it says %+v, %v; want %+v", peer, err, want)
			}
		})
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	s := startProxy(t)
	want := Peer{Version: testVersion, Protocol: ProtocolVersion}
	if got, err := Ask(t.Context(), s.tunnel, "v0.9.0"); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if s.hasSession() {
		t.Error("asking began a session")
	}
	// One that has a session goes on with it.
	local := startServer(t, "local")
	s.connect(t, local.Addr().String(), nil)
	if got, err := Ask(t.Context(), s.tunnel, "v0.9.0"); err != nil || got != want {
		t.Errorf("during a session: got %+v, %v; want %+v", got, err, want)
	}
	sent := []byte("still here")
	wantAnswer(t, exchange(t, s.dial(t), sent), "local", sent)
}

// A proxy from before it could be asked refuses the session that isn't its own.
func TestAskOneThatRefuses(t *testing.T) {
	t.Parallel()
	transport := otherProxy(t, ProtocolVersion, `{"error":"this traffic-proxy belongs to session 1a2b, not "}`)
	if got, err := Ask(t.Context(), transport, "v1.0.0"); err != nil || got != (Peer{Protocol: ProtocolVersion}) {
		t.Errorf("got %+v, %v; want the protocol's version alone", got, err)
	}
}

// Who asks doesn't wait for one that says nothing.
func TestAskOneThatIsSilent(t *testing.T) {
	t.Parallel()
	l := listenLocal(t)
	t.Cleanup(func() { _ = l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Ask(ctx, tcpTransport(l.Addr().String()), "v1.0.0")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		t.Errorf("%v is what happened to the connection, not why", err)
	}
}
