// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// An end that breaks the rules is cut off.
func TestBreaches(t *testing.T) {
	tests := []struct {
		name   string
		frames []frame
	}{
		{"more than was granted", []frame{{kind: kindData, stream: 1, offset: 64 << 10, payload: []byte("x")}}},
		{"an offset that wraps around", []frame{{kind: kindData, stream: 1, offset: 1<<64 - 1, payload: []byte("xy")}}},
		{"data after the end", []frame{
			{kind: kindLast, stream: 1, payload: []byte("x")},
			{kind: kindData, stream: 1, offset: 1, payload: []byte("x")},
		}},
		{"two ends", []frame{
			{kind: kindLast, stream: 1, offset: 5, payload: []byte("x")},
			{kind: kindLast, stream: 1, offset: 3, payload: []byte("x")},
		}},
		{"an end before data", []frame{
			{kind: kindData, stream: 1, payload: []byte("xyz")},
			{kind: kindLast, stream: 1, payload: []byte("x")},
		}},
		{"frames that overlap", []frame{
			{kind: kindData, stream: 1, offset: 10, payload: []byte("xyz")},
			{kind: kindData, stream: 1, offset: 11, payload: []byte("xyz")},
		}},
		{"a frame into another", []frame{
			{kind: kindData, stream: 1, offset: 2, payload: []byte("xyz")},
			{kind: kindData, stream: 1, payload: []byte("xyz")},
		}},
		{"a stream that this end never opened", []frame{{kind: kindData, stream: 2, payload: []byte("x")}}},
		{"a reset of one", []frame{{kind: kindReset, stream: 2}}},
		{"a number far ahead", []frame{{kind: kindData, stream: 1<<32 - 1, payload: []byte("x")}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, peer := hosted(t)
			var wire []byte
			for _, f := range test.frames {
				wire = f.append(wire)
			}
			go func() { _, _ = io.Copy(io.Discard, peer) }()
			_, _ = peer.Write(wire) // it may be cut off within
			<-s.Done()
			if err := s.Err(); !errors.Is(err, ErrProtocol) {
				t.Errorf("ended with %v", err)
			}
		})
	}
	t.Run("an acknowledgement of what was never sent", func(t *testing.T) {
		s, peer := hosted(t)
		if _, err := s.Open(); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, peer) }()
		_, _ = peer.Write((&frame{kind: kindAck, stream: 2, offset: 1}).append(nil))
		<-s.Done()
		if err := s.Err(); !errors.Is(err, ErrProtocol) {
			t.Errorf("ended with %v", err)
		}
	})
}

// An end that opens a million streams, and one that also doesn't read what is said about them: memory stays bounded.
func TestMillionOpens(t *testing.T) {
	for _, reads := range []bool{true, false} {
		name := map[bool]string{true: "reading", false: "not reading"}[reads]
		t.Run(name, func(t *testing.T) {
			s, peer := hosted(t)
			if reads {
				go func() { _, _ = io.Copy(io.Discard, peer) }()
			}
			before := heap()
			var wire []byte
			var most uint64
			for n := range uint32(1_000_000) {
				wire = (&frame{kind: kindData, stream: 2*n + 1, payload: []byte("hello")}).append(wire)
				if len(wire) < batchSize {
					continue
				}
				if _, err := peer.Write(wire); err != nil {
					break // cut off
				}
				wire = wire[:0]
				if n%(1<<17) < 3000 {
					most = max(most, heap())
				}
			}
			const bound = 96 << 20
			if grown := most - min(most, before); grown > bound {
				t.Errorf("kept %d MiB, more than %d", grown>>20, bound>>20)
			}
			s.mu.Lock()
			streams := len(s.streams)
			s.mu.Unlock()
			if streams > usualLimits().streams {
				t.Errorf("%d streams are open", streams)
			}
			if !reads && !errors.Is(s.Err(), ErrProtocol) {
				t.Errorf("an end that doesn't listen was not cut off: %v", s.Err())
			}
		})
	}
}

// Streams that nobody reads: the one that would go beyond the bound is reset, the session and the others go on.
func TestUnreadIsBounded(t *testing.T) {
	s, peer := hosted(t)
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	payload := make([]byte, maxPayload)
	streams := usualLimits().unread/usualLimits().window + 2
	for n := range uint32(streams) {
		wire := (&frame{kind: kindData, stream: 2*n + 1, payload: payload}).append(nil)
		wire = (&frame{kind: kindData, stream: 2*n + 1, offset: maxPayload, payload: payload}).append(wire)
		if _, err := peer.Write(wire); err != nil {
			t.Fatal(err)
		}
	}
	var reset, whole int
	for range streams {
		st, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = st.Read(make([]byte, 1))
		switch e, ok := errors.AsType[*ResetError](err); {
		case ok && e.Code == CodeMemory:
			reset++
		case err == nil:
			whole++
		default:
			t.Fatal(err)
		}
	}
	if reset == 0 || whole < usualLimits().unread/usualLimits().window-1 {
		t.Errorf("%d streams were reset, %d go on", reset, whole)
	}
}

// hosted returns a session, and the other end of its only lane in the hands of the test.
func hosted(t *testing.T) (*Session, net.Conn) {
	t.Helper()
	s := New(Config{Grace: time.Minute})
	lane, peer := net.Pipe()
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		_ = s.Carry(t.Context(), 0, lane)
	}()
	t.Cleanup(func() {
		s.Close()
		_ = peer.Close()
		<-carried
	})
	return s, peer
}

func heap() uint64 {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return memory.HeapAlloc
}
