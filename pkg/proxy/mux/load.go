// SPDX-License-Identifier: Apache-2.0

package mux

import "time"

const (
	// rateMemory is for how long the most that a lane has delivered in a time is held against what it delivers now.
	rateMemory = 2 * time.Second
	// marksPerWindow is how often a full lane is asked what has arrived, and maxMarks how many answers may be missing.
	marksPerWindow = 8
	maxMarks       = 2 * marksPerWindow
	// grows is by which factor a lane has to deliver more than before for its rate to be growing, and steadyAfter how many
	// round trips without that make it steady.
	grows       = 1.25
	steadyAfter = 3
	// leastAhead is what a steady lane may hold at least beyond what a round trip takes: programs on the way have to wait for
	// a processor now and then.
	leastAhead = 25 * time.Millisecond
)

// load is what a lane has been given of streams, and how much of that has arrived.
//
// What a lane takes fills the buffers on its way first, those of sockets and programs: many MiB, which come out slowly where
// the line is slow. Since the bytes of a stream are put in order again, what waits in one lane holds up what came through all
// others, and what waits on the line holds up everything else on it. So a lane far away holds no more than it delivers in two
// round trips (twice its bandwidth × delay, with which it finds out each round trip whether it delivers twice as much), and,
// once it delivers no more than before, a quarter more than in one, which is enough to see that there is more to be had again.
// Of several lanes the emptiest takes what comes next.
//
// The other end isn't asked for more than it does anyway: a lane keeps order, so the answer to a ping says that everything
// written before the ping has arrived.
type load struct {
	given, arrived int // bytes
	marks          []mark
	rate           float64   // the most bytes per second lately
	rateAt         time.Time // when that was
	grewTo         float64   // what rate has grown to
	grewAt         time.Time // when that was
	steady         bool      // that is some round trips ago
}

// mark is a ping that hasn't been answered.
type mark struct {
	clock          uint64
	given, arrived int // when it was written
}

// window returns how much the lane may hold, with the least round trip that it takes.
func (l *load) window(least int, roundTrip time.Duration) int {
	ahead := roundTrip
	if l.steady {
		ahead = min(ahead, max(roundTrip/4, leastAhead))
	}
	return max(least, int(l.rate*(roundTrip+ahead).Seconds()))
}

// unmarked returns how much has been given since the last ping.
func (l *load) unmarked() int {
	if n := len(l.marks); n > 0 {
		return l.given - l.marks[n-1].given
	}
	return l.given - l.arrived
}

// pinged takes note of a ping that goes out now.
func (l *load) pinged(clock uint64) {
	l.marks = append(l.marks, mark{clock: clock, given: l.given, arrived: l.arrived})
}

// answered takes note of a ping's answer, which took a time. That of an unknown one says nothing.
func (l *load) answered(clock uint64, took time.Duration, now time.Time) {
	for i, m := range l.marks {
		if m.clock != clock {
			continue
		}
		l.arrived = m.given
		l.marks = append(l.marks[:0], l.marks[i+1:]...)
		rate := float64(l.arrived-m.arrived) / took.Seconds()
		if rate >= l.rate || now.Sub(l.rateAt) > rateMemory {
			l.rate, l.rateAt = rate, now
		}
		l.settle(took, now)
		return
	}
}

// settle finds out whether the rate still grows.
func (l *load) settle(roundTrip time.Duration, now time.Time) {
	switch {
	case l.rate >= grows*l.grewTo:
		l.grewTo, l.grewAt = l.rate, now
	case l.rate < l.grewTo:
		l.grewTo = l.rate // from here it may grow again
	}
	l.steady = now.Sub(l.grewAt) > steadyAfter*roundTrip
}

// holds returns how full a lane is, 1 being as full as it may be. The caller holds s.mu.
func (s *Session) holds(l *lane) float64 {
	return float64(l.load.given-l.load.arrived) / float64(l.load.window(s.limits.lane, l.nearest))
}

// askWhatArrived appends a ping where it is time to know what has arrived. The caller holds s.mu.
func (s *Session) askWhatArrived(l *lane, buf []byte) []byte {
	window, unmarked := l.load.window(s.limits.lane, l.nearest), l.load.unmarked()
	full := unmarked > 0 && l.load.given-l.load.arrived >= window
	if len(l.load.marks) < maxMarks && (full || unmarked >= window/marksPerWindow) {
		buf = l.appendPing(buf)
	}
	return buf
}
