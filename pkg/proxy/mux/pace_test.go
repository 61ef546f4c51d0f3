// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"testing"
	"testing/synctest"
	"time"
)

// A lane whose writes hold few frames never waits; one whose writes hold many waits longer the more there are, but never
// longer than may be, and not for what comes later than that anyway.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		frames int           // in each write
		idle   time.Duration // since the last write
		want   time.Duration
	}{
		{"a single caller", 1, 0, 0},
		{"several", 4, 0, 4 * waitPerFrame},
		{"several, later", 4, 300 * time.Microsecond, 4*waitPerFrame - 300*time.Microsecond},
		{"several, long after", 4, time.Second, 0},
		{"many", 100, 0, longestWait},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var p pace
				for range 100 {
					p.frames = test.frames
					p.wrote()
				}
				time.Sleep(test.idle)
				began := time.Now()
				p.await(nil)
				if waited := time.Since(began); (waited - test.want).Abs() > time.Microsecond {
					t.Errorf("it waits %v, want %v", waited, test.want)
				}
			})
		})
	}
}

func TestPaceOfClosedLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pace{average: 100, last: time.Now()}
		done := make(chan struct{})
		close(done)
		began := time.Now()
		p.await(done)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("it waits %v for a lane that is closed", waited)
		}
	})
}
