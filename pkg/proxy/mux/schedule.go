// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"slices"
	"time"
)

const (
	// batchSize is about how much goes out in one write.
	batchSize = 64 << 10
	// crowdedFrom is how much may be on its way on a lane for it to be taken as quick.
	crowdedFrom = 16 << 10
	// ackDelay is how long an acknowledgement may wait for something to travel with.
	ackDelay = 20 * time.Millisecond
	// nearBy is the round trip below which work, not waiting, takes the time: then few large writes are best, and all
	// that is small shares a lane. Farther away, streams are spread, so that a packet lost stops few of them.
	nearBy = 5 * time.Millisecond
	// farFree is how many lanes are kept from bulk where that is far.
	farFree = 2
	// aloneAfter is how long bulk waits for another lane than that of slot 0. After a cut they come back at about the same
	// time, and what bulk put into the first one would hold up all that is small.
	aloneAfter = 500 * time.Millisecond
	// maxReplies bounds what is to be said about streams that are not known. Who causes more of it doesn't listen.
	maxReplies = 1 << 15
)

// outgoing is what waits for a lane.
type outgoing struct {
	replies  []frame   // resets, and what is said of streams that are over
	again    []uint32  // streams that are over, which the other end may not have heard
	acks     []*Stream // to be acknowledged
	ackNow   bool      // without waiting for more
	ackTimer *time.Timer
	// express are streams with something to send that have little on their way, bulk all others.
	express, bulk []*Stream
}

func (o *outgoing) stop() {
	if o.ackTimer != nil {
		o.ackTimer.Stop()
	}
	*o = outgoing{}
}

// reply queues a frame about a single stream. The caller holds s.mu.
func (s *Session) reply(f frame) {
	s.out.replies = append(s.out.replies, f)
	s.wake(0)
}

// acknowledge queues an acknowledgement: with urgent it goes out at once, else when something else does, or soon.
// The caller holds s.mu.
func (s *Session) acknowledge(st *Stream, urgent bool) {
	if !st.in.toAck {
		st.in.toAck = true
		s.out.acks = append(s.out.acks, st)
	}
	switch {
	case s.out.ackNow:
	case urgent:
		s.ackNow()
	case s.out.ackTimer == nil:
		s.out.ackTimer = time.AfterFunc(ackDelay, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.out.ackTimer = nil
			if len(s.out.acks) > 0 && s.err == nil {
				s.ackNow()
			}
		})
	}
}

func (s *Session) ackNow() {
	s.out.ackNow = true
	s.wake(0)
}

// schedule gives a stream that has something to send its turn. The caller holds s.mu.
func (s *Session) schedule(st *Stream) {
	if st.sent.queued || len(st.sent.waiting) == 0 {
		return
	}
	st.sent.queued = true
	if st.sent.unacked > bulkFrom {
		s.out.bulk = append(s.out.bulk, st)
		s.wakeForBulk()
		return
	}
	s.out.express = append(s.out.express, st)
	s.wake(st.id)
}

// wake has a lane look for what is small and urgent; streams of different numbers may get different lanes.
func (s *Session) wake(id uint32) {
	if len(s.lanes) == 0 {
		return
	}
	if s.isNear() {
		s.lanes[0].wakeUp() // if it is busy it will look by itself
		return
	}
	own, free := int(id/2), s.keptFree()
	wake := func(l *lane) bool {
		if l.idle && s.expressOn(l) {
			l.wakeUp()
			return true
		}
		return false
	}
	if wake(s.lanes[own%len(s.lanes)]) {
		return
	}
	for i := range free {
		if wake(s.lanes[(own+i)%free]) {
			return
		}
	}
	_ = slices.ContainsFunc(s.lanes[free:], wake) // or none: one that writes will look by itself
}

// wakeForBulk has the lane that holds the least look for bulk.
func (s *Session) wakeForBulk() {
	var emptiest *lane
	for _, l := range s.lanes {
		if l.idle && s.bulkOn(l) && (emptiest == nil || s.holds(l) < s.holds(emptiest)) {
			emptiest = l
		}
	}
	if emptiest != nil {
		emptiest.wakeUp()
	}
}

func (s *Session) wakeAll() {
	for _, l := range s.lanes {
		l.wakeUp()
	}
}

// keptFree returns how many lanes, the first ones, are kept from bulk as long as there are others. Far away it is two: a
// lane that carries little has a small congestion window, and from time to time almost none (BBR looks for the least round
// trip with four packets), which is too few for what many streams have to say.
func (s *Session) keptFree() int {
	if s.isNear() || len(s.lanes) < 2*farFree {
		return 1
	}
	return farFree
}

func (s *Session) isKeptFree(l *lane) bool { return slices.Contains(s.lanes[:s.keptFree()], l) }

// expressOn reports whether small and urgent frames may take the lane.
func (s *Session) expressOn(l *lane) bool { return s.isKeptFree(l) || l.inFlight < crowdedFrom }

// bulkOn reports whether bulk may take the lane.
func (s *Session) bulkOn(l *lane) bool {
	if s.isKeptFree(l) && (len(s.lanes) > 1 || l.slot == 0 && time.Since(l.began) <= aloneAfter) {
		return false
	}
	return s.isNear() || s.holds(l) < 1
}

// leavesBulk reports whether a lane that holds less waits for bulk.
func (s *Session) leavesBulk(l *lane) bool {
	if s.isNear() {
		return false
	}
	for _, other := range s.lanes {
		if other.idle && s.bulkOn(other) && s.holds(other) < s.holds(l) {
			return true
		}
	}
	return false
}

// collect appends to buf what lane l is to write next. The caller holds s.mu.
func (s *Session) collect(l *lane, buf []byte) []byte {
	if s.err != nil || l.closed {
		return buf
	}
	if s.answers {
		l.bye = true
		return (&frame{kind: kindBye}).append(buf)
	}
	buf = l.heartbeat(buf)
	if s.expressOn(l) {
		buf = s.collectReplies(l, buf)
		buf, l.pace.frames = s.collectFrom(&s.out.express, l, buf)
		if len(buf) > 0 || s.out.ackNow { // they travel with whatever goes
			buf = s.collectAcks(l, buf)
		}
	}
	if s.bulkOn(l) && !s.leavesBulk(l) {
		buf, _ = s.collectFrom(&s.out.bulk, l, buf)
	}
	if len(buf) > 0 && !s.isNear() {
		buf = s.askWhatArrived(l, buf)
	}
	s.shareRest()
	if len(buf) > 0 {
		return buf
	}
	if s.closing && (s.overdue || s.unacked == 0 && !s.anyKept()) {
		l.bye = true
		buf = (&frame{kind: kindBye}).append(buf)
	}
	return buf
}

// shareRest wakes others for what is left.
func (s *Session) shareRest() {
	if len(s.out.bulk) > 0 {
		s.wakeForBulk()
	}
	if len(s.out.express) > 0 {
		s.wake(s.out.express[0].id)
	}
}

func (s *Session) collectReplies(l *lane, buf []byte) []byte {
	for i := range s.out.replies {
		f := &s.out.replies[i]
		buf = f.append(buf)
		if f.kind == kindGone {
			l.farewells.add(f.stream)
		}
	}
	s.out.replies = s.out.replies[:0]
	for _, id := range s.out.again {
		buf = (&frame{kind: kindGone, stream: id}).append(buf)
		l.farewells.add(id)
	}
	s.out.again = nil
	return buf
}

func (s *Session) collectAcks(l *lane, buf []byte) []byte {
	for _, st := range s.out.acks {
		st.in.toAck = false
		if st.err != nil {
			continue
		}
		f := st.ack()
		st.in.acked = f.offset
		buf = f.append(buf)
		if st.in.ended {
			l.farewells.add(st.id)
		}
	}
	clear(s.out.acks)
	s.out.acks = s.out.acks[:0]
	s.out.ackNow = false
	return buf
}

// collectFrom takes frames of the queue's streams in turn, and returns how many.
func (s *Session) collectFrom(queue *[]*Stream, l *lane, buf []byte) ([]byte, int) {
	var frames int
	for len(*queue) > 0 && len(buf) < batchSize {
		st := (*queue)[0]
		(*queue)[0] = nil
		*queue = (*queue)[1:]
		st.sent.queued = false
		if len(st.sent.waiting) == 0 {
			continue
		}
		seg := st.sent.take(l)
		frames++
		f := frame{kind: kindData, stream: st.id, offset: seg.offset, payload: seg.data}
		if seg.last {
			f.kind = kindLast
		}
		buf = f.append(buf)
		s.schedule(st)
	}
	if len(*queue) == 0 {
		*queue = nil
	}
	return buf, frames
}

// anyKept reports whether an end of data hasn't arrived yet.
func (s *Session) anyKept() bool {
	for _, st := range s.streams {
		if len(st.sent.kept) > 0 {
			return true
		}
	}
	return false
}

// isNear reports whether the other end is, by the least that a round trip has taken: work makes it look farther away. The
// caller holds s.mu.
func (s *Session) isNear() bool {
	for _, l := range s.lanes {
		if l.nearest > 0 && l.nearest < nearBy {
			return true
		}
	}
	return false
}

// roundTrip returns that of the fastest lane, or 0. The caller holds s.mu.
func (s *Session) roundTrip() time.Duration {
	var least time.Duration
	for _, l := range s.lanes {
		if l.roundTrip > 0 && (least == 0 || l.roundTrip < least) {
			least = l.roundTrip
		}
	}
	return least
}

// attach adds a lane. The caller holds s.mu.
func (s *Session) attach(l *lane) {
	i, _ := slices.BinarySearchFunc(s.lanes, l.slot, func(other *lane, slot int) int { return other.slot - slot })
	s.lanes = slices.Insert(s.lanes, i, l)
	s.lost.Stop()
	s.wakeAll()
}

// detach removes a lane that has ended, and has sent again what is lost with it. Which acknowledgements those were isn't
// known, so all are repeated. The caller holds s.mu.
func (s *Session) detach(l *lane) {
	s.lanes = slices.DeleteFunc(s.lanes, func(other *lane) bool { return other == l })
	if s.err != nil {
		return
	}
	if len(s.lanes) == 0 {
		s.lost.Reset(s.cfg.Grace)
		if s.closing {
			s.end(ErrEnded)
			return
		}
	}
	for _, st := range s.streams {
		if st.silenced {
			s.reply(frame{kind: kindReset, stream: st.id, word: st.resetTo})
			continue
		}
		st.sent.takeBack(l)
		s.schedule(st)
		s.acknowledge(st, true)
	}
	for _, id := range l.farewells.ids {
		if _, known := s.streams[id]; !known {
			s.out.again = append(s.out.again, id)
		}
	}
	s.wakeAll()
}
