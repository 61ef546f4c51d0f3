// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// fault is what happens to what goes in one direction of a line.
type fault struct {
	delay time.Duration
	room  int // how much may be on its way
	// after is how many bytes arrive before the line breaks, both ways; never, if less than 0.
	after int
	// silent is true if neither end is told.
	silent bool
}

var errCut = errors.New("the line was cut")

// newLine returns the two ends of a connection in memory.
func newLine(there, back fault) (a, b net.Conn) {
	l := &line{}
	l.changed.L = &l.mu
	l.ways[0].fault, l.ways[1].fault = there, back
	return &lineEnd{l, 0}, &lineEnd{l, 1}
}

type line struct {
	mu      sync.Mutex
	changed sync.Cond
	ways    [2]way
	cut     bool
	closed  [2]bool
}

// way is one direction.
type way struct {
	fault   fault
	parcels []parcel
	size    int // of all parcels
	sent    int // ever
}

type parcel struct {
	data []byte
	due  time.Time
}

type lineEnd struct {
	*line
	side int
}

func (e *lineEnd) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := &e.ways[e.side]
	var written int
	for written < len(p) {
		switch {
		case e.closed[e.side]:
			return written, net.ErrClosed
		case e.cut && !w.fault.silent, e.closed[1-e.side]:
			return written, errCut
		case w.size >= w.fault.room:
			e.changed.Wait()
			continue
		}
		n := min(len(p)-written, w.fault.room-w.size)
		if w.fault.after >= 0 {
			n = min(n, w.fault.after-w.sent)
		}
		if n > 0 {
			w.parcels = append(w.parcels, parcel{append([]byte(nil), p[written:written+n]...), time.Now().Add(w.fault.delay)})
			time.AfterFunc(w.fault.delay, e.changed.Broadcast)
			w.size += n
			w.sent += n
			written += n
			continue
		}
		if w.fault.silent {
			return len(p), nil // gone, and nobody knows
		}
		e.cut = true
		e.changed.Broadcast()
	}
	return written, nil
}

func (e *lineEnd) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := &e.ways[1-e.side]
	for {
		switch {
		case e.closed[e.side]:
			return 0, net.ErrClosed
		case len(w.parcels) > 0 && !time.Now().Before(w.parcels[0].due):
			first := &w.parcels[0]
			n := copy(p, first.data)
			first.data = first.data[n:]
			if len(first.data) == 0 {
				w.parcels = w.parcels[1:]
			}
			w.size -= n
			e.changed.Broadcast()
			return n, nil
		case e.cut && len(w.parcels) == 0:
			return 0, errCut
		case e.closed[1-e.side] && len(w.parcels) == 0 && !w.fault.silent:
			return 0, io.EOF
		}
		e.changed.Wait()
	}
}

func (e *lineEnd) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed[e.side] = true
	e.changed.Broadcast()
	return nil
}

func (e *lineEnd) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "line"} }
func (e *lineEnd) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "line"} }
func (e *lineEnd) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (e *lineEnd) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (e *lineEnd) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
