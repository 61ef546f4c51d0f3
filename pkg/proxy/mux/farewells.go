// SPDX-License-Identifier: Apache-2.0

package mux

// farewells are the streams of which the last that is said went out on a lane. Nobody remembers a stream that is over, so
// this is all there is to say it again if the lane breaks before the other end has heard it. What was written before a
// ping that has been answered has arrived.
type farewells struct {
	ids    []uint32
	marked bool
	clock  uint64 // of the ping
	before int    // how many of ids went before it
}

func (f *farewells) add(id uint32) { f.ids = append(f.ids, id) }

// mark takes note of a ping that goes out now. One is followed at a time.
func (f *farewells) mark(clock uint64) {
	if !f.marked {
		f.marked, f.clock, f.before = true, clock, len(f.ids)
	}
}

// answered takes note of a ping's answer.
func (f *farewells) answered(clock uint64) {
	if !f.marked || clock != f.clock {
		return
	}
	f.marked = false
	f.ids = f.ids[f.before:]
	if len(f.ids) == 0 {
		f.ids = nil
	}
}
