// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"os"
	"sync"
	"time"
)

// echo is how soon after the first a signal is still the same request: programs such as timeout(1), or runners of scripts,
// send a process what its group has got as well, and nobody presses Ctrl-C twice as quickly.
const echo = 100 * time.Millisecond

// Interrupts are the signals that ask this process to end. The first one asks for an end in order, the second for one at
// once, but for those that are a COMMAND's own.
type Interrupts struct {
	cancel    context.CancelFunc
	impatient chan struct{}

	mu     sync.Mutex
	asked  int
	first  time.Time // when the first signal came
	theirs func(os.Signal) bool
}

// NewInterrupts returns interrupts whose first asks for an end by calling cancel.
func NewInterrupts(cancel context.CancelFunc) *Interrupts {
	return &Interrupts{cancel: cancel, impatient: make(chan struct{})}
}

// Signal takes a signal.
func (i *Interrupts) Signal(s os.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.theirs != nil && i.theirs(s) {
		return
	}
	if i.asked == 1 && time.Since(i.first) < echo {
		return
	}
	i.asked++
	switch i.asked {
	case 1:
		i.first = time.Now()
		i.cancel()
	case 2:
		close(i.impatient)
	}
}

// twice is closed when an end at once is asked for. Of no interrupts, it never is.
func (i *Interrupts) twice() <-chan struct{} {
	if i == nil {
		return nil
	}
	return i.impatient
}

// leave leaves the signals for which theirs is true to a COMMAND, until the function that it returns is called.
func (i *Interrupts) leave(theirs func(os.Signal) bool) (take func()) {
	if i == nil {
		return func() {}
	}
	set := func(to func(os.Signal) bool) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.theirs = to
	}
	set(theirs)
	return func() { set(nil) }
}
