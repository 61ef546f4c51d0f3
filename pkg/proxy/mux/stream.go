// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// ResetError is what a stream fails with that was broken off.
type ResetError struct {
	// Code says why, in the words of whoever uses the stream.
	Code uint32
	// Remote is true if the other end broke it off.
	Remote bool
}

func (e *ResetError) Error() string {
	if e.Remote {
		return fmt.Sprintf("the stream was reset by the other end with code %d", e.Code)
	}
	return fmt.Sprintf("the stream was reset with code %d", e.Code)
}

// Codes of resets that the session itself makes. All others are the users' of streams.
const (
	// CodeGone is the code of a stream that the other end has no memory of.
	CodeGone uint32 = 1<<32 - 1 - iota
	// CodeStreams is the code of a stream that was one too many.
	CodeStreams
	// CodeMemory is the code of a stream that nobody reads, when there is no room left to keep what it brings.
	CodeMemory
)

// Stream is an ordered, reliable stream of bytes in both directions. One goroutine may read and another write.
type Stream struct {
	id uint32
	s  *Session

	// Guarded by s.mu.
	in       incoming
	sent     sending
	err      error // once it has failed
	silenced bool  // reset from here, and the other end hasn't confirmed it
	resetTo  uint32

	readable, writable chan struct{}
}

func newStream(s *Session, id uint32) *Stream {
	return &Stream{
		id: id, s: s,
		in:       incoming{window: s.limits.window, granted: uint64(s.limits.window), grantAt: time.Now()}, //nolint:gosec // positive
		sent:     sending{limit: uint64(s.limits.window)},                                                  //nolint:gosec // positive
		readable: make(chan struct{}, 1),
		writable: make(chan struct{}, 1),
	}
}

// Read reads what the other end has written. After its last byte it returns [io.EOF].
func (st *Stream) Read(p []byte) (int, error) {
	for {
		n, deadline, err := st.read(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		if !st.awaitReadable(deadline) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (st *Stream) read(p []byte) (n int, deadline time.Time, err error) {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	in := &st.in
	switch {
	case st.err != nil:
		return 0, deadline, st.err
	case !in.deadline.IsZero() && !time.Now().Before(in.deadline):
		return 0, deadline, os.ErrDeadlineExceeded
	case in.data.size > 0:
		n = in.data.read(p)
		s.unread -= n
		s.consumed(st, n)
		return n, deadline, nil
	case in.ended:
		return 0, deadline, io.EOF
	}
	return 0, in.deadline, nil
}

// Take is like Read, but returns buffers that hold what there is, at most about limit bytes, for the caller to [Free].
// Without anything to read it returns none.
func (st *Stream) Take(limit int) (net.Buffers, error) {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	in := &st.in
	switch {
	case st.err != nil:
		return nil, st.err
	case in.data.size == 0 && in.ended:
		return nil, io.EOF
	}
	buffers, n := in.data.take(limit)
	s.unread -= n
	s.consumed(st, n)
	return buffers, nil
}

// AwaitData returns once Read wouldn't wait.
func (st *Stream) AwaitData() error {
	for {
		st.s.mu.Lock()
		in := &st.in
		ready, deadline, err := in.data.size > 0 || in.ended, in.deadline, st.err
		st.s.mu.Unlock()
		if ready || err != nil {
			return err
		}
		if !st.awaitReadable(deadline) {
			return os.ErrDeadlineExceeded
		}
	}
}

// awaitReadable waits until there may be something to read, or returns false when the deadline has passed.
func (st *Stream) awaitReadable(deadline time.Time) bool {
	if deadline.IsZero() {
		<-st.readable
		return true
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-st.readable:
		return true
	case <-timer.C:
		return false
	}
}

// SetReadDeadline makes reads, those that wait too, fail with [os.ErrDeadlineExceeded] from t on. The zero time is never.
func (st *Stream) SetReadDeadline(t time.Time) error {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	st.in.deadline = t
	notify(st.readable)
	return nil
}

// Write writes p. It waits for as long as the other end doesn't read, and fails when the stream does.
func (st *Stream) Write(p []byte) (int, error) {
	var written int
	for {
		n, err := st.write(p[written:])
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
		if n == 0 {
			<-st.writable
		}
	}
}

func (st *Stream) write(p []byte) (int, error) {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case st.err != nil:
		return 0, st.err
	case st.sent.ended:
		return 0, io.ErrClosedPipe
	}
	n := min(len(p), s.room(st))
	if n > 0 {
		st.sent.add(p[:n])
		s.unacked += n
		s.schedule(st)
	}
	return n, nil
}

// CloseWrite ends what is sent; the other end reads [io.EOF] after it. Reading goes on.
func (st *Stream) CloseWrite() error {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case st.err != nil:
		return st.err
	case st.sent.ended:
		return nil
	}
	st.sent.finish()
	s.schedule(st)
	notify(st.writable)
	return nil
}

// Close ends the stream: in order, if the other end's data has been read to its end, and else with a reset.
func (st *Stream) Close() error {
	s := st.s
	s.mu.Lock()
	complete := st.in.ended && st.in.data.size == 0
	s.mu.Unlock()
	if complete {
		return st.CloseWrite()
	}
	st.Reset(0)
	return nil
}

// Reset breaks the stream off in both directions and tells the other end why. Of what was written before, the other end
// may get to read nothing. After the stream has ended it does nothing.
func (st *Stream) Reset(code uint32) {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	st.s.breakOff(st, code)
}

// breakOff resets a stream. The caller holds s.mu.
func (s *Session) breakOff(st *Stream, code uint32) {
	if st.err != nil {
		return
	}
	st.fail(&ResetError{Code: code})
	if s.streams[st.id] != st {
		return // it was over, but for what nobody has read
	}
	st.silenced, st.resetTo = true, code
	s.reply(frame{kind: kindReset, stream: st.id, word: code})
}

// fail ends the stream with err, and drops what it keeps. The caller holds s.mu.
func (st *Stream) fail(err error) {
	if st.err != nil {
		return
	}
	st.err = err
	st.s.unread -= st.in.drop()
	st.s.settled(st, st.sent.drop())
	notify(st.readable)
	notify(st.writable)
}
