// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"slices"
	"time"
)

const (
	// defaultRoundTrip is assumed as long as it isn't known.
	defaultRoundTrip = 100 * time.Millisecond
	// ackEvery is how much may arrive before it is acknowledged without waiting for a frame to travel with.
	ackEvery = 256 << 10
)

// incoming is the receiving half of a stream.
type incoming struct {
	data     chunks // arrived in order, not read yet
	next     uint64 // offset of the byte after those
	ended    bool   // the end of data is at next
	final    uint64 // offset of the end of data, if hasFinal
	hasFinal bool
	early    []early // arrived before what comes before them, in order, not overlapping

	read     uint64    // how much has been read
	granted  uint64    // offset up to which the other end may send
	window   int       // how far granted is ahead of read, at most
	grantAt  time.Time // when it was granted
	acked    uint64    // arrived(), as the other end has last been told
	toAck    bool      // waits to be acknowledged
	deadline time.Time
}

// early is data that arrived before its time.
type early struct {
	offset uint64
	data   []byte
}

// earlyOverhead is what keeping a frame costs beyond its data, so that many small ones are not cheaper than they are.
const earlyOverhead = 64

func (e early) end() uint64 { return e.offset + uint64(len(e.data)) }

// arrived is up to where everything has arrived, the end of data counting as one byte.
func (in *incoming) arrived() uint64 {
	if in.ended {
		return in.next + 1
	}
	return in.next
}

// receive takes the data of one frame. It returns by how many bytes what is kept has grown, or shrunk.
func (in *incoming) receive(offset uint64, payload []byte, last bool) (kept int, err error) {
	end := offset + uint64(len(payload))
	switch {
	case end < offset || end > in.granted:
		return 0, breach("data up to offset %d where %d was granted", end, in.granted)
	case in.hasFinal && (end > in.final || last && end != in.final):
		return 0, breach("data up to offset %d after the end at %d", end, in.final)
	case last && end < in.next:
		return 0, breach("an end of data at %d after data up to %d", end, in.next)
	}
	if last {
		in.final, in.hasFinal = end, true
	}
	switch {
	case offset > in.next:
		kept, err = in.keepEarly(offset, payload)
	case len(in.early) > 0 && in.early[0].offset < end:
		err = breach("data from offset %d to %d over other data", offset, end)
	case end > in.next:
		kept = in.append(payload[in.next-offset:]) - in.takeEarly()
	}
	in.ended = in.hasFinal && in.next == in.final
	return kept, err
}

func (in *incoming) append(data []byte) int {
	in.data.append(data)
	in.next += uint64(len(data))
	return len(data)
}

// keepEarly keeps a frame that was overtaking. The same frame again is dropped: a frame that is sent again is the same.
func (in *incoming) keepEarly(offset uint64, payload []byte) (kept int, err error) {
	if len(payload) == 0 {
		return 0, nil
	}
	end := offset + uint64(len(payload))
	i, found := slices.BinarySearchFunc(in.early, offset, func(e early, offset uint64) int {
		switch {
		case e.offset < offset:
			return -1
		case e.offset > offset:
			return 1
		}
		return 0
	})
	if found && in.early[i].end() == end {
		return 0, nil
	}
	if found || i > 0 && in.early[i-1].end() > offset || i < len(in.early) && in.early[i].offset < end {
		return 0, breach("data from offset %d to %d over other data", offset, end)
	}
	in.early = slices.Insert(in.early, i, early{offset, append(newChunk(len(payload)), payload...)})
	return len(payload) + earlyOverhead, nil
}

// takeEarly appends what was early and has its turn now, and returns by how much that makes less of what is kept.
func (in *incoming) takeEarly() (less int) {
	var n int
	for n < len(in.early) && in.early[n].offset == in.next {
		if e := in.early[n]; len(e.data) < queuedChunk { // a buffer of its own would cost more than it holds
			in.append(e.data)
		} else {
			in.data.push(e.data)
			in.next = e.end()
		}
		n++
	}
	in.early = slices.Delete(in.early, 0, n)
	if len(in.early) == 0 {
		in.early = nil
	}
	return n * earlyOverhead
}

// drop lets go of everything and returns how much that was.
func (in *incoming) drop() int {
	size := in.data.size
	for _, e := range in.early {
		size += len(e.data) + earlyOverhead
		freeChunk(e.data)
	}
	in.data.drop()
	in.early = nil
	return size
}

// consumed grants the other end more of st, after n bytes were read. The caller holds s.mu.
func (s *Session) consumed(st *Stream, n int) {
	in := &st.in
	in.read += uint64(n) //nolint:gosec // never negative
	if in.hasFinal || in.granted-in.read > uint64(in.window/2) {
		return
	}
	// Half a window in less than two round trips: the window is what holds the stream up.
	now := time.Now()
	if now.Sub(in.grantAt) < 2*s.assumedRoundTrip() {
		more := min(in.window, s.limits.maxWindow-in.window, s.limits.growth-s.grown)
		if more > 0 && s.streams[st.id] == st {
			in.window += more
			s.grown += more
		}
	}
	in.grantAt = now
	in.granted = in.read + uint64(in.window) //nolint:gosec // positive
	s.acknowledge(st, true)
}

func (s *Session) assumedRoundTrip() time.Duration {
	if rtt := s.roundTrip(); rtt > 0 {
		return rtt
	}
	return defaultRoundTrip
}

// ack returns the frame that tells the other end where the stream stands.
func (st *Stream) ack() frame {
	in := &st.in
	f := frame{kind: kindAck, stream: st.id, offset: in.arrived()}
	if !in.ended {
		f.word = uint32(in.granted - in.next) //nolint:gosec // at most maxWindow
	}
	return f
}
