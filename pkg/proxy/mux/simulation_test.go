// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds = flag.Int("seeds", 500, "how many seeds the simulation runs")
	seed  = flag.Uint64("seed", 0, "the only seed that the simulation runs")
)

// Both ends in one process, joined by lanes that fail as the seed says. Every stream's bytes are compared with what was
// written, and both ends must settle.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), uint64(*seeds)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	var cut, streams int
	for n := first; n <= last; n++ {
		synctest.Test(t, func(t *testing.T) {
			sim := newSimulation(t, n)
			sim.run()
			cut += sim.cut
			streams += sim.streams
		})
	}
	t.Logf("seeds: %d, streams: %d, lanes cut: %d", last-first+1, streams, cut)
}

type simulation struct {
	t    *testing.T
	seed uint64
	ends [2]*Session

	mu   sync.Mutex
	rand *rand.Rand
	cuts int // how many directions of lanes may still fail
	cut  int // how many have, or will

	streams int
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	sim := &simulation{t: t, seed: seed, rand: rand.New(rand.NewPCG(seed, 0))}
	sim.cuts = sim.below(25)
	small := usualLimits()
	if sim.below(2) == 0 {
		small.window, small.maxWindow, small.growth = 1<<10+sim.below(8<<10), 64<<10, 128<<10
		small.unacked, small.leastUnacked = 16<<10, 1<<10
		small.lane = 1 << 10
	}
	for i := range sim.ends {
		sim.ends[i] = New(Config{First: i == 0, Grace: time.Minute, limits: &small})
	}
	return sim
}

// below returns a number below n.
func (sim *simulation) below(n int) int {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	return sim.rand.IntN(n)
}

func (sim *simulation) run() {
	ctx, stop := context.WithCancel(sim.t.Context())
	var lanes sync.WaitGroup
	for slot := range 1 + sim.below(4) {
		lanes.Go(func() { sim.keepLane(ctx, slot) })
	}
	var work sync.WaitGroup
	for end := range sim.ends {
		opened := 1 + sim.below(8)
		sim.streams += opened
		for range opened {
			work.Go(func() { sim.open(end) })
		}
	}
	var accepting sync.WaitGroup
	accepts, refuse := context.WithCancel(ctx)
	for end := range sim.ends {
		accepting.Go(func() {
			for {
				st, err := sim.ends[end].Accept(accepts)
				if err != nil {
					return
				}
				work.Go(func() { sim.serve(st) })
			}
		})
	}
	work.Wait()
	refuse()
	accepting.Wait()
	sim.settled()
	closer := sim.below(2)
	sim.ends[closer].Close()
	for i, s := range sim.ends {
		<-s.Done()
		// The other end can't be told where there is no lane, or the last one breaks just then.
		if err := s.Err(); !errors.Is(err, ErrEnded) && (i == closer || !errors.Is(err, ErrLost)) {
			sim.t.Errorf("seed %d: end %d: %v instead of an end in order", sim.seed, i, err)
		}
	}
	stop()
	lanes.Wait()
}

// keepLane dials a lane again whenever it has failed.
func (sim *simulation) keepLane(ctx context.Context, slot int) {
	for ctx.Err() == nil && sim.ends[0].Err() == nil && sim.ends[1].Err() == nil {
		a, b := newLine(sim.fault(), sim.fault())
		var carried sync.WaitGroup
		carried.Go(func() { _ = sim.ends[0].Carry(ctx, slot, a) })
		if sim.below(4) == 0 {
			time.Sleep(time.Duration(sim.below(300)) * time.Millisecond)
		}
		carried.Go(func() { _ = sim.ends[1].Carry(ctx, slot, b) })
		carried.Wait()
		time.Sleep(time.Duration(sim.below(400)) * time.Millisecond)
	}
}

// fault returns what happens to one direction of a lane.
func (sim *simulation) fault() fault {
	f := fault{delay: time.Duration(sim.below(200)) * time.Millisecond, room: 1 + sim.below(256<<10), after: -1}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.cuts == 0 {
		return f
	}
	sim.cuts--
	sim.cut++
	switch sim.rand.IntN(3) {
	case 0: // soon, at any byte of the first frames
		f.after = sim.rand.IntN(200)
	case 1:
		f.after = sim.rand.IntN(300 << 10)
	case 2:
		f.after, f.silent = sim.rand.IntN(100<<10), true
	}
	return f
}

// A stream says first how much each end sends, and whether and where the one that opened it breaks it off.
type script struct{ there, back, breakAt int }

const scriptSize = 12

func (sc script) bytes() []byte {
	return fmt.Appendf(nil, "%012d%012d%012d", sc.there, sc.back, sc.breakAt)
}

func (sim *simulation) open(end int) {
	time.Sleep(time.Duration(sim.below(2000)) * time.Millisecond)
	st, err := sim.ends[end].Open()
	if err != nil {
		sim.t.Errorf("seed %d: opening: %v", sim.seed, err)
		return
	}
	sc := script{there: sim.size(), back: sim.size(), breakAt: -1}
	if sim.below(5) == 0 {
		sc.breakAt = sim.below(sc.there + 1)
	}
	if _, err := st.Write(sc.bytes()); err != nil {
		sim.t.Errorf("seed %d: stream %d: %v", sim.seed, st.id, err)
	}
	var directions sync.WaitGroup
	directions.Go(func() { sim.send(st, sc.there, sc.breakAt) })
	directions.Go(func() { sim.receive(st, sc.back, sc.breakAt >= 0) })
	directions.Wait()
	_ = st.Close()
}

func (sim *simulation) serve(st *Stream) {
	var buf [3 * scriptSize]byte
	var sc script
	if _, err := io.ReadFull(st, buf[:]); err != nil {
		if _, ok := errors.AsType[*ResetError](err); !ok {
			sim.t.Errorf("seed %d: stream %d, its beginning: %v", sim.seed, st.id, err)
		}
		_ = st.Close()
		return
	}
	if _, err := fmt.Sscanf(string(buf[:]), "%012d%012d%012d", &sc.there, &sc.back, &sc.breakAt); err != nil {
		sim.t.Errorf("seed %d: stream %d, its beginning %q: %v", sim.seed, st.id, buf, err)
	}
	var directions sync.WaitGroup
	directions.Go(func() { sim.send(st, sc.back, -1) })
	directions.Go(func() { sim.receive(st, sc.there, sc.breakAt >= 0) })
	directions.Wait()
	_ = st.Close()
}

func (sim *simulation) size() int {
	switch sim.below(4) {
	case 0:
		return 0
	case 1:
		return sim.below(500)
	case 2:
		return sim.below(50 << 10)
	default:
		return sim.below(500 << 10)
	}
}

// content is what a stream carries from an offset on: bytes that tell where they belong.
func content(id uint32, offset, size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte((offset+i)*7>>3) ^ byte(offset+i) ^ byte(id*31)
	}
	return data
}

// send writes size bytes, or resets the stream where it is to break.
func (sim *simulation) send(st *Stream, size, breakAt int) {
	for at := 0; at < size; {
		n := min(size-at, 1+sim.below(40<<10))
		if sim.below(2) == 0 {
			n = min(size-at, 1+sim.below(300))
		}
		if breakAt >= 0 && at+n > breakAt {
			st.Reset(7)
			return
		}
		if _, err := st.Write(content(st.id, at, n)); err != nil {
			if _, ok := errors.AsType[*ResetError](err); !ok {
				sim.t.Errorf("seed %d: stream %d, writing at %d of %d: %v", sim.seed, st.id, at, size, err)
			}
			return
		}
		at += n
		if sim.below(8) == 0 {
			time.Sleep(time.Duration(sim.below(300)) * time.Millisecond)
		}
	}
	if breakAt >= 0 {
		st.Reset(7)
		return
	}
	if err := st.CloseWrite(); err != nil {
		if _, ok := errors.AsType[*ResetError](err); !ok {
			sim.t.Errorf("seed %d: stream %d, ending: %v", sim.seed, st.id, err)
		}
	}
}

// receive checks what arrives. A stream that is broken off may end anywhere, but no other way.
func (sim *simulation) receive(st *Stream, size int, breaks bool) {
	buf := make([]byte, 1+sim.below(64<<10))
	var at int
	for {
		if sim.below(16) == 0 {
			time.Sleep(time.Duration(sim.below(500)) * time.Millisecond)
		}
		n, err := st.Read(buf)
		if !bytes.Equal(buf[:n], content(st.id, at, n)) {
			sim.t.Errorf("seed %d: stream %d has other bytes at %d", sim.seed, st.id, at)
			return
		}
		at += n
		if err == nil {
			continue
		}
		_, reset := errors.AsType[*ResetError](err)
		switch {
		case errors.Is(err, io.EOF) && at == size && !breaks:
		case errors.Is(err, io.EOF) && at == size: // the other direction was to break, and this one had ended before
		case reset && breaks:
		default:
			sim.t.Errorf("seed %d: stream %d ended at %d of %d with %v", sim.seed, st.id, at, size, err)
		}
		return
	}
}

// settled waits until nothing is left of the streams at either end.
func (sim *simulation) settled() {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		var left string
		for i, s := range sim.ends {
			s.mu.Lock()
			if len(s.streams) > 0 || s.unread != 0 || s.unacked != 0 || s.grown != 0 || s.own != 0 || s.other != 0 || len(s.skipped) > 0 {
				left += fmt.Sprintf("end %d: %d streams, %d unread, %d unacked, %d grown, %d own, %d other, %d skipped; ",
					i, len(s.streams), s.unread, s.unacked, s.grown, s.own, s.other, len(s.skipped))
			}
			s.mu.Unlock()
		}
		if left == "" {
			return
		}
		if time.Since(began) > time.Minute {
			sim.t.Errorf("seed %d: left: %s", sim.seed, left)
			return
		}
	}
}
