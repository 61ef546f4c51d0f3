// SPDX-License-Identifier: Apache-2.0

package mux

import "time"

const (
	// waitPerFrame is how long a write to an end nearby waits after the one before, for each small frame that has lately gone
	// out in one, and longestWait the most. Each write is passed on by several programs, which costs more than what is in it.
	// So when there is much to do, what comes at about the same time shares one; a single caller never waits.
	waitPerFrame = 200 * time.Microsecond
	longestWait  = 2 * time.Millisecond
	// crowdedAt is how many frames must have gone out in a write, on average, for the next to wait.
	crowdedAt = 2
	// paceMemory is over how many writes that is the average.
	paceMemory = 8
)

// pace spaces a lane's writes.
type pace struct {
	frames  int     // that are small and urgent, collected for the write that comes
	average float64 // of them
	last    time.Time
}

// wrote takes note of a write.
func (p *pace) wrote() {
	p.average += (float64(p.frames) - p.average) / paceMemory
	p.frames = 0
	p.last = time.Now()
}

// wait returns how long the next write should wait.
func (p *pace) wait(now time.Time) time.Duration {
	if p.average < crowdedAt {
		return 0
	}
	return min(time.Duration(p.average*float64(waitPerFrame)), longestWait) - now.Sub(p.last)
}

// await waits for as long as the next write should, or until done is closed.
func (p *pace) await(done <-chan struct{}) {
	wait := p.wait(time.Now())
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
	}
}
