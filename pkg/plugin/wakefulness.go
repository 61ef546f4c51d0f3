// SPDX-License-Identifier: Apache-2.0

package plugin

import "time"

const (
	// wakeTick is how often a session looks at the clock.
	wakeTick = time.Second
	// wakeGap is how late a look may be before it means that the machine, or this process, was stopped.
	wakeGap = 5 * time.Second
)

// wakefulness knows how long a session has been away from its traffic-proxy: asleep, stopped, or cut off. It goes by the
// wall clock, because the monotonic one stands still while some systems sleep.
type wakefulness struct {
	last  time.Time // of the ticks
	heard time.Time // when the tunnel was last open
}

func newWakefulness(now time.Time) *wakefulness {
	now = now.Round(0) // without the monotonic clock
	return &wakefulness{last: now, heard: now}
}

// tick takes note of the time and of whether the tunnel is open, and returns how long the machine has slept since the
// tick before, or 0.
func (w *wakefulness) tick(now time.Time, open bool) time.Duration {
	now = now.Round(0)
	gap := now.Sub(w.last)
	w.last = now
	if gap > wakeGap {
		return gap // an open tunnel is open from before the sleep
	}
	if open {
		w.heard = now
	}
	return 0
}

// busy takes note that the session itself has kept the clock from being looked at.
func (w *wakefulness) busy(now time.Time) { w.last = now.Round(0) }

// away returns how long the session has been away from its traffic-proxy.
func (w *wakefulness) away(now time.Time) time.Duration { return now.Round(0).Sub(w.heard) }
