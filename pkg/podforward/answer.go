// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"io"
	"sync"
	"sync/atomic"
)

// chunkSize is how much of an answer is read at once.
const chunkSize = 32 << 10

// chunk is a piece of an answer.
type chunk struct {
	bytes [chunkSize]byte
	n     int
}

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// answer is what a pod says to a caller, and the caller has not read yet. One goroutine puts, another delivers.
type answer struct {
	burden *burden
	over   chan struct{} // closed when it is abandoned

	size atomic.Int64

	mu    sync.Mutex
	queue []*chunk
	ended bool
	err   error         // why it is abandoned
	more  chan struct{} // has an element when there is something in the queue, or nothing will come any more
}

func newAnswer(b *burden) *answer {
	a := &answer{burden: b, over: make(chan struct{}), more: make(chan struct{}, 1)}
	b.begin(a)
	return a
}

func (a *answer) unread() int64 { return a.size.Load() }

func (a *answer) grow(n int64) (was, is int64) {
	is = a.size.Add(n)
	return is - n, is
}

// put takes a chunk, and waits while too much is unread.
func (a *answer) put(c *chunk) {
	a.mu.Lock()
	if a.err != nil {
		a.mu.Unlock()
		chunks.Put(c)
		return
	}
	a.queue = append(a.queue, c)
	a.mu.Unlock()
	a.burden.add(a, int64(c.n))
	signal(a.more)
	a.burden.wait(a)
}

// end says that nothing more will come.
func (a *answer) end() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	signal(a.more)
}

// abandon ends it without what is unread.
func (a *answer) abandon(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
		close(a.over)
	}
}

// next returns what is to be read next, or neither a chunk nor an error at the end.
func (a *answer) next() (*chunk, error) {
	for {
		c, over, err := a.pop()
		if c != nil || over {
			return c, err
		}
		select {
		case <-a.more:
		case <-a.over:
		}
	}
}

// pop takes the first chunk, if there is one, and reports whether there won't be any if not.
func (a *answer) pop() (c *chunk, over bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return nil, true, a.err
	}
	if len(a.queue) == 0 {
		return nil, a.ended, nil
	}
	c = a.queue[0]
	a.queue[0] = nil
	a.queue = a.queue[1:]
	return c, false, nil
}

// deliver writes all of it to the caller, and counts that.
func (a *answer) deliver(to io.Writer, count *atomic.Int64) error {
	for {
		c, err := a.next()
		if err != nil || c == nil {
			return err
		}
		n, err := to.Write(c.bytes[:c.n])
		count.Add(int64(n))
		a.burden.add(a, -int64(c.n))
		chunks.Put(c)
		if err != nil {
			return err
		}
	}
}
