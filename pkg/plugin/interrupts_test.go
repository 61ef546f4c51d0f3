// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		i := NewInterrupts(cancel)
		twice := func() bool {
			select {
			case <-i.twice():
				return true
			default:
				return false
			}
		}
		take := i.leave(func(s os.Signal) bool { return s == os.Interrupt })
		i.Signal(os.Interrupt)
		if ctx.Err() != nil {
			t.Error("a COMMAND's interrupt has ended the session")
		}
		i.Signal(syscall.SIGTERM)
		if ctx.Err() == nil {
			t.Error("a signal that isn't the COMMAND's hasn't ended the session")
		}
		take()
		time.Sleep(echo - 1)
		i.Signal(os.Interrupt)
		if twice() {
			t.Error("the first signal's echo counts as the second")
		}
		time.Sleep(time.Nanosecond)
		i.Signal(os.Interrupt)
		if !twice() {
			t.Error("the second signal doesn't count")
		}
		i.Signal(os.Interrupt) // and a third is as good
	})
}
