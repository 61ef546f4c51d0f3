// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	// ErrEnded is what streams fail with once their session has ended in order, from either end.
	ErrEnded = errors.New("the session has ended")
	// ErrLost is what they fail with when the session was without a lane for its grace.
	ErrLost = errors.New("the session was without a connection for too long")
	// ErrProtocol is what they fail with when the other end has broken the protocol; it wraps how.
	ErrProtocol = errors.New("the other end breaks the protocol")
	// ErrStreams is returned by [Session.Open] when as many streams are open as may be.
	ErrStreams = errors.New("too many streams at once")
)

// flushDeadline bounds how long [Session.Close] lets what was written before it arrive.
const flushDeadline = time.Second

// Config is what a [Session] needs to know.
type Config struct {
	// First tells the two ends apart: it is true at exactly one of them.
	First bool
	// Grace is how long the session outlives its last lane.
	Grace time.Duration
	// Changed, if set, is called whenever there are more lanes, or fewer. It must return soon.
	Changed func()

	limits *limits // nil for the usual ones
}

// limits bound what one end keeps for the other.
type limits struct {
	// streams is how many either end may have open.
	streams int
	// window is how much of a stream may be sent before the other end has answered; it grows up to maxWindow, while
	// all windows together have grown by no more than growth.
	window, maxWindow, growth int
	// lane is how much of streams a lane far away may hold that hasn't arrived, before it is known what it can deliver.
	lane int
	// unread is how much all streams together may hold that nobody has read. The stream that goes beyond it is reset.
	unread int
	// unacked is how much all streams together may hold that the other end hasn't acknowledged; from there on each stream
	// has no more than leastUnacked.
	unacked, leastUnacked int
}

func usualLimits() limits {
	return limits{
		streams:      1 << 14,
		window:       64 << 10,
		maxWindow:    16 << 20,
		growth:       32 << 20,
		lane:         256 << 10,
		unread:       96 << 20,
		unacked:      32 << 20,
		leastUnacked: 8 << 10,
	}
}

// Session is one end of a set of streams.
type Session struct {
	cfg    Config
	limits limits
	done   chan struct{}

	mu      sync.Mutex
	err     error // why it has ended, once done is closed
	lanes   []*lane
	lost    *time.Timer // runs while there are no lanes
	closing bool        // to be ended in order, when everything has arrived or overdue
	overdue bool
	answers bool // the other end has asked for it

	streams map[uint32]*Stream
	nextOwn uint32 // the next stream opened here
	own     int    // how many opened here are open
	// The other end's streams: nextOther is the lowest never heard of yet but for those in skipped, whose first frames
	// were overtaken by a later stream's.
	nextOther  uint32
	skipped    map[uint32]struct{}
	other      int // how many opened there are open
	accepted   []*Stream
	acceptable chan struct{}

	out outgoing

	unacked int       // of all streams
	starved []*Stream // those that wait for unacked to fall
	unread  int       // of all streams
	grown   int       // of all windows
}

// New returns a session without lanes.
func New(cfg Config) *Session {
	s := &Session{
		cfg:        cfg,
		limits:     usualLimits(),
		done:       make(chan struct{}),
		streams:    make(map[uint32]*Stream),
		skipped:    make(map[uint32]struct{}),
		acceptable: make(chan struct{}, 1),
	}
	if cfg.limits != nil {
		s.limits = *cfg.limits
	}
	s.nextOwn, s.nextOther = 1, 2
	if !cfg.First {
		s.nextOwn, s.nextOther = 2, 1
	}
	s.lost = time.AfterFunc(cfg.Grace, s.giveUp)
	return s
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session has ended, or nil if it hasn't.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Lanes returns how many lanes there are.
func (s *Session) Lanes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lanes)
}

// RoundTrip returns the time that a frame and its answer take on the fastest lane, or 0 if it isn't known.
func (s *Session) RoundTrip() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roundTrip()
}

// Open starts a stream. That costs no round trip: what is written to it is on its way at once. Without lanes it waits.
func (s *Session) Open() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.closing:
		return nil, ErrEnded
	case s.own >= s.limits.streams || s.nextOwn > 1<<32-3:
		return nil, ErrStreams
	}
	st := newStream(s, s.nextOwn)
	s.nextOwn += 2
	s.own++
	s.streams[st.id] = st
	return st, nil
}

// Accept waits for a stream that the other end starts, until ctx or the session ends.
func (s *Session) Accept(ctx context.Context) (*Stream, error) {
	for {
		if st, err := s.takeAccepted(); st != nil || err != nil {
			return st, err
		}
		select {
		case <-s.acceptable:
		case <-s.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *Session) takeAccepted() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || len(s.accepted) == 0 {
		return nil, s.err
	}
	st := s.accepted[0]
	s.accepted = s.accepted[1:]
	if len(s.accepted) > 0 {
		notify(s.acceptable)
	} else {
		s.accepted = nil
	}
	return st, nil
}

// Close ends the session in order: what was written to streams is let arrive first, for up to a second. Then both ends'
// streams fail with [ErrEnded]. Close doesn't wait for that: the calls of [Session.Carry] return when it is done.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.closing {
		return
	}
	s.closing = true
	if len(s.lanes) == 0 {
		s.end(ErrEnded)
		return
	}
	time.AfterFunc(flushDeadline, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.overdue = true
		s.wakeAll()
		// A lane that takes nothing any more can't be told goodbye.
		time.AfterFunc(flushDeadline, s.giveUp)
	})
	s.wakeAll()
}

// giveUp ends the session for want of lanes.
func (s *Session) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		s.end(ErrEnded)
	} else if len(s.lanes) == 0 {
		s.end(ErrLost)
	}
}

// end ends the session at once. The caller holds s.mu.
func (s *Session) end(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	s.lost.Stop()
	s.out.stop()
	close(s.done)
	for _, st := range s.streams {
		st.fail(err)
	}
	clear(s.streams)
	s.accepted, s.starved = nil, nil
	for _, l := range s.lanes {
		l.close()
	}
}

// breach returns an error about the other end.
func breach(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrProtocol, fmt.Errorf(format, args...))
}

// forget drops a stream that both ends are done with. The caller holds s.mu.
func (s *Session) forget(st *Stream) {
	if s.streams[st.id] != st {
		return
	}
	delete(s.streams, st.id)
	if s.isOwn(st.id) {
		s.own--
	} else {
		s.other--
	}
	s.grown -= st.in.window - s.limits.window
}

// isOwn reports whether a stream of this number is one that is opened here.
func (s *Session) isOwn(id uint32) bool { return id&1 == s.nextOwn&1 }

// notify wakes whoever waits for c, or will.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has been told
	}
}
