// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoadWindow(t *testing.T) {
	const least, roundTrip = 100, time.Second
	start := time.Now()
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	var l load
	want := func(what string, held, window int) {
		t.Helper()
		if got := l.given - l.arrived; got != held {
			t.Errorf("%s: the lane holds %d, want %d", what, got, held)
		}
		if got := l.window(least, roundTrip); got != window {
			t.Errorf("%s: its window is %d, want %d", what, got, window)
		}
	}
	want("at first", 0, least)
	l.given = 100
	l.pinged(1)
	l.given = 130
	l.pinged(2)
	want("before an answer", 130, least)
	l.answered(7, time.Second, at(1))
	want("after the answer to another ping", 130, least)
	l.answered(1, time.Second, at(1))
	want("after 100 in a second", 30, 200)
	l.answered(2, 2*time.Second, at(1.5))
	want("after 130 in two seconds", 0, 200)
	l.given = 160
	l.pinged(3)
	l.answered(3, time.Second, at(1+rateMemory.Seconds()+0.1))
	want("after 30 in a second, much later", 0, least)
	if len(l.marks) != 0 {
		t.Errorf("%d pings are still without an answer", len(l.marks))
	}
}

// A lane that delivers no more than before holds little more than it delivers in a round trip, until it delivers more.
func TestSteadyLoad(t *testing.T) {
	const roundTrip = 200 * time.Millisecond
	now := time.Now()
	var l load
	var clock uint64
	deliver := func(bytes int) {
		clock++
		l.given += bytes
		l.pinged(clock)
		now = now.Add(roundTrip)
		l.answered(clock, roundTrip, now)
	}
	for _, step := range []struct {
		name          string
		times, bytes  int // each in a round trip
		window, short int // in far round trips and in those of 20 ms
	}{
		{"at first", 1, 1000, 2000, 200},
		{"while it grows", 1, 2000, 4000, 400},
		{"for as long as it may still grow", 3, 2000, 4000, 400},
		{"once it is steady", 1, 2000, 2500, 400},
		{"with a little more", 1, 2400, 3000, 480},
		{"with a little more again", 1, 2500, 5000, 500},
		{"once that is steady", 4, 2500, 3125, 500},
		{"with less, for a time", 9, 1000, 3125, 500},
		{"with less", 5, 1000, 1250, 200},
		{"with half as much again", 1, 1500, 3000, 300},
	} {
		for range step.times {
			deliver(step.bytes)
		}
		if got := l.window(0, roundTrip); got != step.window {
			t.Errorf("%s: its window is %d, want %d", step.name, got, step.window)
		}
		if got := l.window(0, 20*time.Millisecond); got != step.short {
			t.Errorf("%s: its window is %d where the round trip is short, want %d", step.name, got, step.short)
		}
	}
}

// hole takes everything and answers nothing.
type hole struct {
	net.Conn

	closed chan struct{}
	once   sync.Once
}

func (h *hole) Read([]byte) (int, error)    { <-h.closed; return 0, io.EOF }
func (h *hole) Write(p []byte) (int, error) { return len(p), nil }
func (h *hole) Close() error                { h.once.Do(func() { close(h.closed) }); return nil }

// What a lane swallows without delivering it is bounded, and all lanes share it.
func TestBulkIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{First: true, Grace: time.Second})
		var lanes sync.WaitGroup
		for slot := range 4 {
			lanes.Go(func() { _ = s.Carry(t.Context(), slot, &hole{closed: make(chan struct{})}) })
		}
		synctest.Wait()
		for range 100 {
			st, err := s.Open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := st.Write(make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		s.mu.Lock()
		for _, l := range s.lanes {
			least, most := s.limits.lane, s.limits.lane+batchSize+maxPayload
			if l.slot < farFree {
				least, most = 0, 100*bulkFrom+100*maxPayload
			}
			if l.load.given < least || l.load.given > most {
				t.Errorf("lane %d was given %d bytes, want %d to %d", l.slot, l.load.given, least, most)
			}
		}
		s.mu.Unlock()
		s.Close()
		lanes.Wait()
	})
}

// The first lane is kept from bulk as long as there is another, and far away the second one too if enough remain.
func TestLanesKeptFree(t *testing.T) {
	for _, test := range []struct {
		name      string
		roundTrip time.Duration
		bulk      []bool
	}{
		{"one lane", 0, []bool{true}},
		{"two lanes", 0, []bool{false, true}},
		{"three lanes", 0, []bool{false, true, true}},
		{"four lanes", 0, []bool{false, false, true, true}},
		{"six lanes far away", 100 * time.Millisecond, []bool{false, false, true, true, true, true}},
		{"six lanes nearby", time.Millisecond, []bool{false, true, true, true, true, true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Config{First: true, Grace: time.Second})
				var lanes sync.WaitGroup
				for slot := range test.bulk {
					lanes.Go(func() { _ = s.Carry(t.Context(), slot, &hole{closed: make(chan struct{})}) })
				}
				time.Sleep(2 * aloneAfter)
				s.mu.Lock()
				for _, l := range s.lanes {
					l.nearest = test.roundTrip
				}
				for i, l := range s.lanes {
					if got := s.bulkOn(l); got != test.bulk[i] {
						t.Errorf("whether lane %d takes bulk is %v, want %v", l.slot, got, test.bulk[i])
					}
				}
				s.mu.Unlock()
				s.Close()
				lanes.Wait()
			})
		})
	}
}
