// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/spdystream"
)

const (
	// errorLimit bounds what is kept of the reason a server gives for ending a stream.
	errorLimit = 4 << 10
	// reasonTimeout is how long the server's reason for a failure may come after the failure.
	reasonTimeout = 200 * time.Millisecond
)

// StreamError is why the pod's node has ended a stream, as its container runtime says it.
type StreamError struct{ Message string }

func (f *StreamError) Error() string { return f.Message }

// Refused reports whether the pod has certainly not taken the connection: nobody listens at its port, or the pod is gone.
// Nothing that was sent has reached anybody then.
//
// Runtimes have no code for that, only words. Those that are looked for are of containerd and CRI-O, which connect with Go's
// net.Dial, and of cri-dockerd, which runs socat. A connection that was taken and then broken says "read tcp" or
// "connection reset" instead, and what isn't known counts as taken.
func (f *StreamError) Refused() bool {
	said := strings.ToLower(f.Message)
	for _, sign := range []string{
		"connection refused", "dial tcp", "failed to connect to localhost", "failed to dial",
		"failed to find sandbox", "failed to get sandbox", "network namespace for sandbox", // containerd: the pod is gone,
		"unknown fs magic", "no such file or directory", // its network namespace is,
		"is not running", "container not found", "could not find container", // or its containers are
		"timed out waiting for streams", // Kubernetes: it has not been asked
	} {
		if strings.Contains(said, sign) {
			return true
		}
	}
	return false
}

// Stream is one forwarded connection.
type Stream struct {
	conn          *Connection
	data, failure *spdystream.Stream
	opening       sync.WaitGroup // until data and failure are there, or won't be
	id            uint32         // of data; guarded by conn.mu
	broken        atomic.Bool    // the node has reset data
	close         sync.Once
	closed        chan struct{}

	ended  chan struct{} // closed once the error stream has ended
	reason error         // what it said, if anything; after ended
}

// hear hears why the server ends the stream; Close ends it.
func (s *Stream) hear() {
	defer close(s.ended)
	_ = s.failure.Close() // this end sends nothing on it
	message, err := io.ReadAll(io.LimitReader(s.failure, errorLimit))
	if err == nil && len(message) > 0 {
		s.reason = &StreamError{string(message)}
	}
	_, _ = io.Copy(io.Discard, s.failure) // what isn't read stops the connection
}

// Read reads what the pod has sent. It fails with [io.EOF] when the pod has ended its side in order, with a [StreamError] if
// the node gives a reason, with [ErrCut] when the connection broke or the node has reset the stream without a reason, and with
// [net.ErrClosed] after Close.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.data.Read(p)
	return n, s.explain(err)
}

func (s *Stream) Write(p []byte) (int, error) {
	n, err := s.data.Write(p)
	return n, s.explain(err)
}

// explain says what a failure is from the server's reason, and from who else has ended.
func (s *Stream) explain(err error) error {
	if err == nil {
		return nil
	}
	reason := time.NewTimer(reasonTimeout)
	defer reason.Stop()
	select {
	case <-s.closed:
		return net.ErrClosed
	case <-s.ended:
		if s.reason != nil {
			return s.reason
		}
	case <-reason.C:
	}
	select {
	case <-s.closed:
		return net.ErrClosed
	case <-s.conn.frames.CloseChan(): // which comes before the end of its streams
		return ErrCut
	default:
	}
	if s.broken.Load() {
		return ErrCut
	}
	return err
}

// CloseWrite tells the pod that nothing more will be sent. Container runtimes give the other direction a second then.
func (s *Stream) CloseWrite() error {
	err := s.data.Close()
	if errors.Is(err, spdystream.ErrWriteClosedStream) {
		return nil
	}
	return s.explain(err)
}

// Close ends the stream at once, in both directions, and nothing else. It may wait until the connection has taken what was
// written before.
func (s *Stream) Close() error {
	s.reset()
	s.conn.forget(s)
	<-s.ended
	return nil
}

func (s *Stream) reset() {
	s.close.Do(func() {
		close(s.closed)
		s.opening.Wait()
		s.resetBoth()
	})
}

func (s *Stream) resetBoth() {
	for _, one := range []*spdystream.Stream{s.data, s.failure} {
		if one != nil {
			_ = one.Reset() // it fails with its connection, which has reset it then
		}
	}
}
