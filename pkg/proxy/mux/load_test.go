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
			if l.slot == 0 {
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
