// SPDX-License-Identifier: Apache-2.0

package mux

import "slices"

// bulkFrom is how much of a stream must be on its way for it to count as bulk.
const bulkFrom = 16 << 10

// sending is the sending half of a stream.
type sending struct {
	end     uint64 // offset of the byte that is written next
	limit   uint64 // offset up to which the other end has granted
	ended   bool
	kept    []*segment // in order, none of it acknowledged
	waiting []*segment // of those, in order, the ones that are on no lane
	unacked int        // bytes in kept
	queued  bool       // has its turn coming
}

// segment is the data of one frame. Once it has been sent it doesn't change, so that sending it again is the same frame.
type segment struct {
	offset uint64
	data   []byte
	last   bool
	sent   bool
	lane   *lane // that it went out on
}

// end is up to where the other end has everything once it has this, as it counts: the end of data is one byte.
func (seg *segment) end() uint64 {
	end := seg.offset + uint64(len(seg.data))
	if seg.last {
		end++
	}
	return end
}

// room returns how much may be written to a stream. With none, its writer is told when to look again. The caller holds s.mu.
func (s *Session) room(st *Stream) int {
	granted := int(st.sent.limit - st.sent.end) //nolint:gosec // at most a window
	if s.unacked < s.limits.unacked {
		return min(granted, s.limits.unacked-s.unacked)
	}
	room := min(granted, s.limits.leastUnacked-st.sent.unacked)
	if room <= 0 && granted > 0 {
		s.starved = append(s.starved, st)
	}
	return max(room, 0)
}

// add takes data over.
func (o *sending) add(data []byte) {
	o.unacked += len(data)
	for len(data) > 0 {
		seg := o.open(len(data))
		n := min(len(data), cap(seg.data)-len(seg.data))
		seg.data = append(seg.data, data[:n]...)
		o.end += uint64(n) //nolint:gosec // never negative
		data = data[n:]
	}
}

// open returns a segment with room, for some of size bytes.
func (o *sending) open(size int) *segment {
	if n := len(o.waiting); n > 0 {
		if last := o.waiting[n-1]; !last.sent && len(last.data) < cap(last.data) {
			return last
		}
		size = max(size, queuedChunk)
	}
	seg := &segment{offset: o.end, data: newChunk(min(size, maxPayload))}
	o.kept = append(o.kept, seg)
	o.waiting = append(o.waiting, seg)
	return seg
}

// finish ends the data.
func (o *sending) finish() {
	o.ended = true
	if n := len(o.waiting); n > 0 && !o.waiting[n-1].sent {
		o.waiting[n-1].last = true
		return
	}
	seg := &segment{offset: o.end, last: true}
	o.kept = append(o.kept, seg)
	o.waiting = append(o.waiting, seg)
}

// acknowledged lets go of what has arrived, and returns how many bytes that were.
func (o *sending) acknowledged(arrived uint64) int {
	var n, size int
	for n < len(o.kept) && o.kept[n].end() <= arrived {
		seg := o.kept[n]
		if seg.lane == nil { // sent again in vain: the lane it broke with had delivered it
			o.waiting = slices.DeleteFunc(o.waiting, func(w *segment) bool { return w == seg })
		} else {
			seg.lane.inFlight -= len(seg.data)
		}
		size += len(seg.data)
		freeChunk(seg.data)
		o.kept[n] = nil
		n++
	}
	o.kept = o.kept[n:]
	if len(o.kept) == 0 {
		o.kept = nil
	}
	o.unacked -= size
	return size
}

// done reports whether everything, the end of data too, has arrived.
func (o *sending) done() bool { return o.ended && len(o.kept) == 0 }

// take returns the next segment to go out, on lane l.
func (o *sending) take(l *lane) *segment {
	seg := o.waiting[0]
	o.waiting[0] = nil
	o.waiting = o.waiting[1:]
	if len(o.waiting) == 0 {
		o.waiting = nil
	}
	seg.sent, seg.lane = true, l
	l.inFlight += len(seg.data)
	l.load.given += len(seg.data)
	return seg
}

// takeBack has everything sent again that is lost with lane l.
func (o *sending) takeBack(l *lane) {
	o.waiting = nil
	for _, seg := range o.kept {
		if seg.lane == l {
			seg.lane = nil
		}
		if seg.lane == nil {
			o.waiting = append(o.waiting, seg)
		}
	}
}

// drop lets go of everything and returns how much that was.
func (o *sending) drop() int {
	for _, seg := range o.kept {
		if seg.lane != nil {
			seg.lane.inFlight -= len(seg.data)
		}
		freeChunk(seg.data)
	}
	size := o.unacked
	o.kept, o.waiting, o.unacked = nil, nil, 0
	return size
}

// settled takes note that size bytes of st are not kept any more. The caller holds s.mu.
func (s *Session) settled(st *Stream, size int) {
	s.unacked -= size
	if size > 0 {
		notify(st.writable)
	}
	if s.unacked < s.limits.unacked && len(s.starved) > 0 {
		for _, starved := range s.starved {
			notify(starved.writable)
		}
		s.starved = nil
	}
}
