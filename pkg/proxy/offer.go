// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/mux"
)

const (
	// keepLimit bounds what is kept of a connection nobody has taken yet; no more is read from its caller. It is less
	// than a stream's first window, so that offering never waits for the other end.
	keepLimit = 60 << 10
	// offerBuffer is how much of it is read at once.
	offerBuffer = 2 << 10
	// answerDeadline is longer than a laptop may take to dial its local process.
	answerDeadline = dialDeadline + 3*time.Second
)

var (
	// errNotTaken is returned by offer when the session doesn't take the connection; it wraps why.
	errNotTaken = errors.New("not taken by the session")
	// errCallerGone is returned by offer when the caller has broken its connection.
	errCallerGone = errors.New("the caller has gone")
)

// offering is what a connection is offered to: a session, for as long as it has a transport.
type offering struct {
	mux       *mux.Session
	connected context.Context //nolint:containedctx // the state of the session, not of a call
}

// offer opens a stream for a caller of port and returns it once the local process has taken the connection. Until
// then it passes on what the caller says, and keeps it: with errNotTaken it returns the bytes that whoever answers
// instead has to be given first.
func offer(to *offering, caller tcpConn, port uint16) (stream, []byte, error) {
	opened, err := to.mux.Open()
	if err != nil {
		return stream{}, nil, fmt.Errorf("%w: %w", errNotTaken, err)
	}
	s := stream{opened}
	if _, err := s.Write(streamHeader{kind: reverseStream, port: port}.bytes()); err != nil {
		s.abort()
		return stream{}, nil, fmt.Errorf("%w: %w", errNotTaken, err)
	}

	type pushed struct {
		kept []byte
		err  error
	}
	decided := make(chan struct{})
	pushes := make(chan pushed, 1)
	go func() {
		kept, err := push(s, caller, decided)
		pushes <- pushed{kept, err}
	}()
	err = awaitTaken(to.connected, s)
	close(decided)
	// A deadline in the past ends the read that push may be waiting in; with none, the caller can be read again.
	_ = caller.SetReadDeadline(time.Unix(1, 0))
	p := <-pushes
	_ = caller.SetReadDeadline(time.Time{})

	switch {
	case p.err != nil:
		s.abort()
		return stream{}, nil, fmt.Errorf("%w: %w", errCallerGone, p.err)
	case err != nil:
		s.abort()
		return stream{}, p.kept, fmt.Errorf("%w: %w", errNotTaken, err)
	}
	return s, nil, nil
}

// awaitTaken waits for the local process to take the connection, while there is a transport that it could say so on.
func awaitTaken(connected context.Context, s stream) error {
	if err := s.SetReadDeadline(time.Now().Add(answerDeadline)); err != nil {
		return err
	}
	stop := context.AfterFunc(connected, func() { _ = s.SetReadDeadline(time.Unix(1, 0)) })
	var answer [1]byte
	_, err := io.ReadFull(s, answer[:])
	switch {
	case err != nil:
		stop()
		return err
	case answer[0] != taken:
		stop()
		return fmt.Errorf("an answer of %#x instead of %#x", answer[0], taken)
	case !stop():
		return context.Cause(connected)
	}
	return s.SetReadDeadline(time.Time{})
}

// push passes what the caller says to s and returns all of it. It ends when the offer is decided, and fails when the
// caller's connection breaks before.
func push(s stream, caller net.Conn, decided <-chan struct{}) ([]byte, error) {
	var kept []byte
	buf := make([]byte, offerBuffer)
	for len(kept) < keepLimit {
		n, err := caller.Read(buf[:min(len(buf), keepLimit-len(kept))])
		kept = append(kept, buf[:n]...)
		if _, writeErr := s.Write(buf[:n]); writeErr != nil && err == nil {
			break // refused or cut, which awaitTaken hears as well
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = s.CloseWrite()
			return kept, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return kept, nil
		case err != nil:
			s.abort()
			return nil, err
		}
	}
	<-decided
	return kept, nil
}
