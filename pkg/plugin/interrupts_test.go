// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"os"
	"syscall"
	"testing"
)

func TestInterrupts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	i := NewInterrupts(cancel)
	take := i.leave(func(s os.Signal) bool { return s == os.Interrupt })
	i.Signal(os.Interrupt)
	if ctx.Err() != nil {
		t.Error("a COMMAND's interrupt has ended the session")
	}
	i.Signal(syscall.SIGTERM)
	if ctx.Err() == nil {
		t.Error("a signal that isn't the COMMAND's hasn't ended the session")
	}
	select {
	case <-i.twice():
		t.Error("the first signal counts as the second")
	default:
	}
	take()
	i.Signal(os.Interrupt)
	select {
	case <-i.twice():
	default:
		t.Error("the second signal doesn't count")
	}
	i.Signal(os.Interrupt) // and a third is as good
}
