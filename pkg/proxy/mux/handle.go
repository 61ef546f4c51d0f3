// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"io"
	"net"
	"time"
)

// maxPongs bounds the pings of one lane that wait for their answers.
const maxPongs = 2 * maxMarks

// handle takes one frame. An error ends the lane it came on, and one that is ErrProtocol the session. The caller holds
// s.mu.
func (s *Session) handle(l *lane, f *frame) error {
	if s.err != nil || l.closed {
		return net.ErrClosed
	}
	switch f.kind {
	case kindData, kindLast:
		return s.handleData(f)
	case kindAck:
		return s.handleAck(f)
	case kindReset:
		return s.handleReset(f)
	case kindGone:
		return s.handleGone(f)
	case kindPing:
		if len(l.pongs) == maxPongs {
			return breach("%d pings without waiting for an answer", maxPongs)
		}
		l.pongs = append(l.pongs, f.offset)
		l.wakeUp()
	case kindPong:
		l.heard(f.offset)
		if len(s.out.bulk) > 0 {
			s.wakeForBulk()
		}
	case kindBye:
		return s.handleBye()
	}
	return nil
}

// handleBye ends the session: at once where this end has asked for it, and else when it has answered. Some transports pass on
// that one end has closed them only after a while.
func (s *Session) handleBye() error {
	if s.closing {
		s.end(ErrEnded)
		return io.EOF
	}
	s.closing, s.overdue, s.answers = true, true, true
	for _, st := range s.streams {
		st.fail(ErrEnded)
	}
	s.wakeAll()
	time.AfterFunc(flushDeadline, s.giveUp)
	return nil
}

// heard takes the answer to a ping.
func (l *lane) heard(sent uint64) {
	l.farewells.answered(sent)
	now := time.Now()
	took := now.Sub(l.began) - time.Duration(sent) //nolint:gosec // what is not a clock of ours is not used
	if took <= 0 {
		return
	}
	l.load.answered(sent, took, now)
	if took > silence {
		return
	}
	if l.roundTrip == 0 {
		l.roundTrip, l.nearest = took, took
		return
	}
	l.roundTrip += (took - l.roundTrip) / 8
	l.nearest = min(l.nearest, took)
}

func (s *Session) handleData(f *frame) error {
	st, err := s.find(f.stream)
	if st == nil {
		return err
	}
	if st.err != nil {
		return nil //nolint:nilerr // it was reset from here, and the other end will hear of it
	}
	kept, err := st.in.receive(f.offset, f.payload, f.kind == kindLast)
	if err != nil {
		return err
	}
	s.unread += kept
	if kept > 0 && s.unread > s.limits.unread {
		s.breakOff(st, CodeMemory)
		return nil
	}
	s.acknowledge(st, st.in.ended || st.in.next-st.in.acked >= ackEvery)
	notify(st.readable)
	s.settle(st)
	return nil
}

// find returns the stream that data or a reset is for, which may be its first. It returns nil for one that is over, after
// having told the other end so.
func (s *Session) find(id uint32) (*Stream, error) {
	if st, ok := s.streams[id]; ok {
		return st, nil
	}
	if len(s.out.replies) >= maxReplies {
		return nil, breach("%d streams that are over, without listening", maxReplies)
	}
	if s.isOwn(id) && id >= s.nextOwn {
		return nil, breach("stream %d, which was never opened", id)
	}
	isNew, err := s.claim(id)
	if err != nil {
		return nil, err
	}
	switch {
	case !isNew:
		s.reply(frame{kind: kindGone, stream: id})
		return nil, nil
	case s.other >= s.limits.streams:
		s.reply(frame{kind: kindReset, stream: id, word: CodeStreams})
		return nil, nil
	}
	st := newStream(s, id)
	s.streams[id] = st
	s.other++
	s.accepted = append(s.accepted, st)
	notify(s.acceptable)
	return st, nil
}

// claim reports whether a stream that isn't known is one that the other end has just opened, which it is only once.
func (s *Session) claim(id uint32) (isNew bool, err error) {
	switch _, skipped := s.skipped[id]; {
	case s.isOwn(id):
		return false, nil
	case skipped:
		delete(s.skipped, id)
		return true, nil
	case id < s.nextOther:
		return false, nil
	}
	if missing := int(id-s.nextOther)/2 + len(s.skipped); missing > s.limits.streams {
		return false, breach("stream %d before %d others", id, missing)
	}
	for ; s.nextOther < id; s.nextOther += 2 {
		s.skipped[s.nextOther] = struct{}{}
	}
	s.nextOther += 2
	return true, nil
}

func (s *Session) handleAck(f *frame) error {
	st, ok := s.streams[f.stream]
	if !ok || st.err != nil {
		return nil //nolint:nilerr // of a stream that is over
	}
	o := &st.sent
	end := o.end
	if o.ended {
		end++
	}
	if f.offset > end {
		return breach("an acknowledgement of %d bytes where %d were written", f.offset, end)
	}
	s.settled(st, o.acknowledged(f.offset))
	if limit := f.offset + uint64(f.word); limit > o.limit {
		o.limit = limit
		notify(st.writable)
	}
	if s.closing && s.unacked == 0 {
		s.wakeAll() // to say goodbye
	}
	s.settle(st)
	return nil
}

func (s *Session) handleReset(f *frame) error {
	st, err := s.find(f.stream)
	if st == nil {
		return err
	}
	s.forget(st)
	st.fail(&ResetError{Code: f.word, Remote: true})
	s.reply(frame{kind: kindGone, stream: f.stream})
	return nil
}

// handleGone takes the other end's word that it is done with a stream: it has everything that was sent, or has reset it.
func (s *Session) handleGone(f *frame) error {
	st, ok := s.streams[f.stream]
	switch {
	case !ok:
		return nil
	case st.silenced:
		s.forget(st)
		return nil
	case st.sent.ended && st.in.ended:
		s.settled(st, st.sent.drop())
		s.settle(st)
		return nil
	}
	s.forget(st)
	st.fail(&ResetError{Code: CodeGone, Remote: true})
	return nil
}

// settle forgets a stream once both ends have everything of it. What has arrived can still be read.
func (s *Session) settle(st *Stream) {
	if st.sent.done() && st.in.ended {
		s.forget(st)
	}
}
