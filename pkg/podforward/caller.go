// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// keepLimit bounds what is kept of a caller that nobody has taken for sure yet.
	keepLimit = 60 << 10
	// settled is how long after a stream's opening a pod that refuses would have said so. A caller that says more than is kept
	// waits for that.
	settled = 500 * time.Millisecond
	// sayBuffer is how much of what a caller says is read at once.
	sayBuffer = 32 << 10
)

var sayBuffers = sync.Pool{New: func() any { return new([sayBuffer]byte) }}

// Conn is a connection over TCP.
type Conn interface {
	net.Conn
	CloseWrite() error
	SetLinger(seconds int) error
}

// caller is a connection of this machine that is to reach a pod. Between its methods say and listen, one at a time, its
// fields are its owner's.
type caller struct {
	conn Conn
	sent *atomic.Int64 // what callers have said, in bytes

	// kept is what it has said, while it may have to be said again: until somebody answers, or it is too much.
	kept []byte
	lost bool // it was too much: whoever has it now has it for good
	over bool // it has ended its side
	// waited is how long it has waited for a pod to be given to, in all.
	waited time.Duration
}

// attempt is one stream that a caller is given to.
type attempt struct {
	Stream

	opened time.Time
	// taken is closed when the pod has answered, and refused when it won't.
	taken, refused chan struct{}
}

func newAttempt(s Stream) *attempt {
	return &attempt{Stream: s, opened: time.Now(), taken: make(chan struct{}), refused: make(chan struct{})}
}

// say passes on what the caller has said and goes on saying, until it ends its side, or falls silent by [caller.interrupt].
// An error means that the caller is gone. That the stream has broken is none: its reader hears why.
func (c *caller) say(to *attempt) error {
	if len(c.kept) > 0 {
		if _, err := to.Write(c.kept); err != nil {
			return nil // the caller is not gone
		}
	}
	if c.over {
		_ = to.CloseWrite() // if it has broken, its reader hears why
		return nil
	}
	buffer := sayBuffers.Get().(*[sayBuffer]byte)
	defer sayBuffers.Put(buffer)
	for {
		if !c.mayHear(to) {
			return nil
		}
		said, err := c.hear(buffer[:])
		if len(said) > 0 {
			if _, err := to.Write(said); err != nil {
				return nil // the caller is not gone
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = to.CloseWrite()
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
	}
}

// mayHear makes room for what the caller says next: once it was taken, or more than can be kept, nothing is kept any more. It
// returns false when the pod has refused it meanwhile.
func (c *caller) mayHear(to *attempt) bool {
	if c.lost {
		return true
	}
	select {
	case <-to.taken:
		c.forget()
		return true
	default:
	}
	if len(c.kept) < keepLimit {
		return true
	}
	timer := time.NewTimer(time.Until(to.opened.Add(settled)))
	defer timer.Stop()
	select {
	case <-to.taken:
	case <-timer.C:
	case <-to.refused:
		return false
	}
	c.forget()
	return true
}

func (c *caller) forget() { c.kept, c.lost = nil, true }

// hear reads what the caller says next, and keeps it if there is a need.
func (c *caller) hear(buffer []byte) ([]byte, error) {
	if !c.lost {
		buffer = buffer[:min(len(buffer), keepLimit-len(c.kept))]
	}
	n, err := c.conn.Read(buffer)
	c.sent.Add(int64(n))
	if !c.lost {
		c.kept = append(c.kept, buffer[:n]...)
	}
	if errors.Is(err, io.EOF) {
		c.over = true
	}
	return buffer[:n], err
}

// listen keeps what the caller says while there is nobody to say it to, and calls gone if it ends: who hangs up while waiting
// doesn't want an answer any more. It goes on until interrupted, or until no more can be kept.
func (c *caller) listen(gone func()) {
	buffer := sayBuffers.Get().(*[sayBuffer]byte)
	defer sayBuffers.Put(buffer)
	for len(c.kept) < keepLimit {
		_, err := c.hear(buffer[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		case err != nil:
			gone()
			return
		}
	}
}

// interrupt ends say or listen, whose goroutine ends done.
func (c *caller) interrupt(done <-chan struct{}) {
	// A deadline in the past ends the read that it may be waiting in; with none, the caller can be read again.
	_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	<-done
	_ = c.conn.SetReadDeadline(time.Time{})
}

// abort resets the caller's connection, so that it sees a broken connection, not an end of data.
func (c *caller) abort() {
	// Without lingering, closing sends a reset. Errors mean that the connection is gone, as it should be.
	_ = c.conn.SetLinger(0)
	_ = c.conn.Close()
}
