// SPDX-License-Identifier: Apache-2.0

package wan

import (
	"slices"
	"testing"
	"time"
)

func TestAccept(t *testing.T) {
	const ms = time.Millisecond
	now := time.Unix(0, 0)
	for _, test := range []struct {
		name   string
		config Config
		sizes  []int64
		want   []time.Duration // when each is due; negative if it isn't carried
	}{
		{"a delay", Config{Delay: 90 * ms}, []int64{100, 100}, []time.Duration{90 * ms, 90 * ms}},
		{"a rate", Config{Delay: 10 * ms, Rate: 1000}, []int64{100, 50}, []time.Duration{110 * ms, 160 * ms}},
		{"a full queue", Config{Rate: 1000, Queue: 150}, []int64{100, 50, 50}, []time.Duration{100 * ms, 150 * ms, -1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDirection(test.config, 1)
			var got []time.Duration
			for _, size := range test.sizes {
				due, ok := d.accept(1, size, now)
				if ok {
					got = append(got, due.Sub(now))
				} else {
					got = append(got, -1)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("packets are due after %v, not %v", got, test.want)
			}
		})
	}
}

func TestSeed(t *testing.T) {
	lost := func(seed, direction uint64) (all []int) {
		d := newDirection(Config{Loss: 0.01, Seed: seed}, direction)
		for i := range 10_000 {
			if d.lose() {
				all = append(all, i)
			}
		}
		return all
	}
	if !slices.Equal(lost(1, 1), lost(1, 1)) {
		t.Error("the same seed loses other packets")
	}
	if slices.Equal(lost(1, 1), lost(2, 1)) {
		t.Error("another seed loses the same packets")
	}
	if slices.Equal(lost(1, 1), lost(1, 2)) {
		t.Error("the other direction loses the same packets")
	}
}

func TestLap(t *testing.T) {
	d := newDirection(Config{}, 1)
	d.carried(1, 100, 2*time.Millisecond)
	d.carried(3, 50, time.Millisecond)
	d.lost(2)
	var sum Counts
	sum.Add(d.lap())
	sum.Add(d.lap())
	if want := (Counts{Carried: 4, Lost: 2, Bytes: 150, Late: 5 * time.Millisecond, Latest: 2 * time.Millisecond}); sum != want {
		t.Errorf("two laps come to %+v, not %+v", sum, want)
	}
}
