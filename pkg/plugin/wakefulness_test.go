// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"
	"time"
)

func TestWakefulness(t *testing.T) {
	start := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	type look struct {
		at    time.Duration
		open  bool
		slept time.Duration
		away  time.Duration
	}
	tests := []struct {
		name  string
		looks []look
	}{
		{"awake", []look{{time.Second, true, 0, 0}, {2 * time.Second, true, 0, 0}, {5 * time.Second, true, 0, 0}}},
		{"cut off", []look{{time.Second, true, 0, 0}, {2 * time.Second, false, 0, time.Second}, {3 * time.Second, false, 0, 2 * time.Second}}},
		{"connected again", []look{{time.Second, false, 0, time.Second}, {2 * time.Second, true, 0, 0}}},
		// The tunnel still looks open after a sleep, and isn't believed.
		{"asleep", []look{{time.Second, true, 0, 0}, {time.Hour, true, time.Hour - time.Second, time.Hour - time.Second}, {time.Hour + time.Second, false, 0, time.Hour}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWakefulness(start)
			for _, l := range test.looks {
				now := start.Add(l.at)
				if slept := w.tick(now, l.open); slept != l.slept {
					t.Errorf("at %v: slept %v, want %v", l.at, slept, l.slept)
				}
				if away := w.away(now); away != l.away {
					t.Errorf("at %v: away %v, want %v", l.at, away, l.away)
				}
			}
		})
	}
}
