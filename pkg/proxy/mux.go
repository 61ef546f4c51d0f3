// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/libp2p/go-yamux/v5"
)

// mux is many streams over one transport: all that the rest of this package knows of multiplexing.
type mux interface {
	// open starts a stream. What is written to it doesn't wait for the other end.
	open(ctx context.Context) (stream, error)
	// accept waits for a stream that the other end starts. It fails once the mux has ended.
	accept() (stream, error)
	// close ends the mux, its streams and its transport.
	close() error
}

// stream is one connection inside the tunnel.
type stream interface {
	duplex
	SetReadDeadline(t time.Time) error
	// reset ends both directions at once and tells the other end why.
	reset(code resetCode)
}

const (
	pingInterval = 2 * time.Second
	pingTimeout  = 3 * time.Second
	// streamLimit bounds what one end may have open at the other.
	streamLimit = 1 << 14
	openBacklog = 1 << 10
)

// noDeadlines keeps yamux from setting write deadlines, which not every transport has: a transport that takes nothing
// any more answers no ping either, and is closed for that.
type noDeadlines struct{ net.Conn }

func (noDeadlines) SetWriteDeadline(time.Time) error { return nil }

type yamuxMux struct{ session *yamux.Session }

type yamuxStream struct{ *yamux.Stream }

func newMux(conn net.Conn, laptop bool) (mux, error) {
	config := yamux.DefaultConfig()
	config.KeepAliveInterval = pingInterval
	config.MeasureRTTInterval = 5 * time.Second
	config.ConnectionWriteTimeout = pingTimeout
	config.MaxIncomingStreams = streamLimit
	config.AcceptBacklog = openBacklog
	config.ReadBufSize = 64 << 10
	config.LogOutput = io.Discard // what it logs, it returns as well
	create := yamux.Server
	if laptop {
		create = yamux.Client
	}
	session, err := create(noDeadlines{conn}, config, nil)
	if err != nil {
		return nil, err
	}
	return yamuxMux{session}, nil
}

func (m yamuxMux) open(ctx context.Context) (stream, error) {
	s, err := m.session.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	return yamuxStream{s}, nil
}

func (m yamuxMux) accept() (stream, error) {
	s, err := m.session.AcceptStream()
	if err != nil {
		return nil, err
	}
	return yamuxStream{s}, nil
}

func (m yamuxMux) close() error { return m.session.Close() }

func (s yamuxStream) reset(code resetCode) {
	// Its only error is that the stream is over already, which is what was wanted.
	_ = s.ResetWithError(uint32(code))
}

func (s yamuxStream) abort() { s.reset(resetBroken) }

// refusedBySession reports whether the other end has said, by resetting a stream, that it doesn't take it.
func refusedBySession(err error) bool {
	e, ok := errors.AsType[*yamux.StreamError](err)
	return ok && e.Remote
}
