// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"context"
	"errors"
	"net"
	"runtime"
	"time"
)

const (
	// pingEvery is how often either end of a lane makes itself heard, silence how long it may not be heard of before the
	// lane is taken for dead, probeSilence the same after [Session.Probe].
	pingEvery    = time.Second
	silence      = 4 * time.Second
	probeSilence = 1500 * time.Millisecond
)

// errSilent is why a lane has ended that was closed for its silence.
var errSilent = errors.New("nothing was heard of the other end for too long")

// errReplaced is why a lane has ended whose slot was taken by a new one.
var errReplaced = errors.New("another connection took its place")

// lane is one connection of a session.
type lane struct {
	slot int
	conn net.Conn
	wake chan struct{}
	done chan struct{}
	// watchdog closes the lane when nothing has been heard for too long.
	watchdog *time.Timer

	// Guarded by the session's mu.
	idle      bool // its writer waits for wake
	closed    bool
	bye       bool          // it has been told goodbye
	inFlight  int           // bytes of streams that went out on it and are not acknowledged
	roundTrip time.Duration // smoothed, 0 if not known
	nearest   time.Duration // the least of them
	ping      bool          // one is due
	pongs     []uint64      // to be answered
	began     time.Time     // what pings count from
	farewells farewells
	load      load
	why       error // it was closed, if from here

	pace pace // its writer's own
}

// Carry makes conn a lane of the session and serves it until it or the session ends, or ctx does; then it closes conn and
// returns why: nil if the session ended in order. A lane that has the slot already is taken for dead. Lanes of low slots
// come first: slot 0 is the one that is kept from bulk.
func (s *Session) Carry(ctx context.Context, slot int, conn net.Conn) error {
	l := &lane{
		slot: slot, conn: conn, ping: true, began: time.Now(),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		_ = conn.Close()
		return s.err
	}
	for _, other := range s.lanes {
		if other.slot == slot {
			s.drop(other, errReplaced)
		}
	}
	l.watchdog = time.AfterFunc(silence, func() { s.cut(l, errSilent) })
	s.attach(l)
	s.mu.Unlock()
	s.changed()
	defer context.AfterFunc(ctx, func() { s.cut(l, context.Cause(ctx)) })()

	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := s.write(l); err != nil {
			s.cut(l, err)
		}
	}()
	err := s.read(l)
	s.cut(l, err)
	l.watchdog.Stop()
	<-written

	s.mu.Lock()
	s.detach(l)
	over, why := s.err, l.why
	s.mu.Unlock()
	s.changed()
	switch {
	case errors.Is(over, ErrEnded):
		return nil
	case over != nil:
		return over
	}
	return why
}

func (s *Session) changed() {
	if s.cfg.Changed != nil {
		s.cfg.Changed()
	}
}

// Probe has every lane show soon that it lives. Whoever has reason to think that the network is another calls it.
func (s *Session) Probe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		l.ping = true
		l.watchdog.Reset(probeSilence)
		l.wakeUp()
	}
}

// cut closes a lane because of err.
func (s *Session) cut(l *lane, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(l, err)
}

// drop is cut for callers that hold s.mu.
func (s *Session) drop(l *lane, err error) {
	if !l.closed {
		l.why = err
	}
	if errors.Is(err, ErrProtocol) {
		s.end(err)
	}
	l.close()
}

func (l *lane) close() {
	if l.closed {
		return
	}
	l.closed = true
	close(l.done)
	// Its reader and its writer hear of it; there is nobody else to be told.
	_ = l.conn.Close()
}

func (l *lane) wakeUp() {
	l.idle = false
	notify(l.wake)
}

// heartbeat appends a ping that is due, and answers.
func (l *lane) heartbeat(buf []byte) []byte {
	if l.ping {
		buf = l.appendPing(buf)
	}
	for _, pong := range l.pongs {
		buf = (&frame{kind: kindPong, offset: pong}).append(buf)
	}
	l.pongs = l.pongs[:0]
	return buf
}

func (l *lane) appendPing(buf []byte) []byte {
	l.ping = false
	now := uint64(time.Since(l.began)) //nolint:gosec // never negative
	l.farewells.mark(now)
	l.load.pinged(now)
	return (&frame{kind: kindPing, offset: now}).append(buf)
}

// write writes what there is for the lane, until it is closed.
func (s *Session) write(l *lane) error {
	buf := make([]byte, 0, batchSize+maxPayload)
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		s.mu.Lock()
		buf = s.collect(l, buf[:0])
		bye, near := l.bye, s.isNear()
		l.idle = len(buf) == 0
		s.mu.Unlock()
		if len(buf) > 0 {
			if _, err := l.conn.Write(buf); err != nil {
				return err
			}
			l.pace.wrote()
			if bye {
				s.saidBye()
				return nil
			}
			continue
		}
		select {
		case <-l.wake:
			// Others that are ready to run have more to send; it goes out in the same write.
			runtime.Gosched()
			if near {
				l.pace.await(l.done)
			}
		case <-ping.C:
			s.mu.Lock()
			l.ping = true
			s.mu.Unlock()
		case <-l.done:
			return nil
		}
	}
}

// saidBye ends the session if that was the answer. Else the other end's answer does.
func (s *Session) saidBye() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers {
		s.end(ErrEnded)
	}
}

// read handles the frames that come, until the lane ends.
func (s *Session) read(l *lane) error {
	r := newFrameReader(l.conn)
	for {
		f, err := r.next()
		if err != nil {
			return refine(err)
		}
		l.watchdog.Reset(silence)
		s.mu.Lock()
		err = s.handle(l, &f)
		for err == nil && r.buffered() {
			if f, err = r.next(); err == nil {
				err = s.handle(l, &f)
			}
		}
		s.mu.Unlock()
		if err != nil {
			return refine(err)
		}
	}
}

// refine makes what can't be read a breach of the protocol.
func refine(err error) error {
	if errors.Is(err, errKind) || errors.Is(err, errPayload) {
		return breach("%w", err)
	}
	return err
}
