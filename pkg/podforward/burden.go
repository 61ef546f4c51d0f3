// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// heavy is how many unread bytes of one caller make a connection unfit for new ones.
	heavy = 1 << 20
	// unreadLimit is how many of all its callers stop a connection, but for the answers that aren't heavy.
	unreadLimit = 32 << 20
	// stallPatience is how long others wait then for a caller to read.
	stallPatience = 10 * time.Second
)

// errStalls is the end of a caller that others of its connection could not wait for any longer.
var errStalls = errors.New("it doesn't read, and others wait for it")

// burden is what the callers of one connection have not read yet.
type burden struct {
	// changed is called when it has become unfit for new callers, or fit again.
	changed func()
	hoards  atomic.Int32 // answers that are heavy

	mu      sync.Mutex
	total   int64
	answers map[*answer]struct{}
	freed   chan struct{} // closed, and made anew, when something was read or an answer has ended
}

func (b *burden) heavy() bool { return b.hoards.Load() > 0 }

func (b *burden) begin(a *answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answers == nil {
		b.answers, b.freed = make(map[*answer]struct{}), make(chan struct{})
	}
	b.answers[a] = struct{}{}
}

// end takes note that an answer is over. What was unread of it is lost.
func (b *burden) end(a *answer) {
	b.add(a, -a.unread())
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.answers, a)
	b.freedLocked()
}

// add takes note of bytes that came for an answer, or of those that were read.
func (b *burden) add(a *answer, n int64) {
	was, is := a.grow(n)
	b.mu.Lock()
	b.total += n
	if n < 0 {
		b.freedLocked()
	}
	b.mu.Unlock()
	switch {
	case was < heavy && is >= heavy && b.hoards.Add(1) == 1, was >= heavy && is < heavy && b.hoards.Add(-1) == 0:
		b.changed()
	}
}

func (b *burden) freedLocked() {
	close(b.freed)
	b.freed = make(chan struct{})
}

// wait waits until more may come for an answer.
func (b *burden) wait(a *answer) {
	if a.unread() < heavy {
		return
	}
	patience := time.NewTimer(stallPatience)
	defer patience.Stop()
	for {
		b.mu.Lock()
		full, freed := b.total >= unreadLimit, b.freed
		b.mu.Unlock()
		if !full || a.unread() < heavy {
			return
		}
		select {
		case <-freed:
		case <-a.over:
			return
		case <-patience.C:
			b.evict()
			patience.Reset(stallPatience)
		}
	}
}

// evict ends the answer with the most unread bytes, if it isn't the only one: nobody waits for that.
func (b *burden) evict() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.total < unreadLimit || len(b.answers) < 2 {
		return
	}
	var most *answer
	for a := range b.answers {
		if most == nil || a.unread() > most.unread() {
			most = a
		}
	}
	most.abandon(errStalls)
}
