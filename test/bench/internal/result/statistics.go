// SPDX-License-Identifier: Apache-2.0

package result

import "slices"

// A Spread is the median of a figure's rounds, and the least and the most.
type Spread struct {
	Median, Min, Max float64
	Rounds           int
}

// SpreadOf is the spread of values. Of none it is all zero.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	median := sorted[n/2]
	if n%2 == 0 {
		median = (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return Spread{Median: median, Min: sorted[0], Max: sorted[n-1], Rounds: n}
}

// figure finds what a round came to.
func (l Line) figure(round int, work, way, figure string) (float64, bool) {
	for _, s := range l.Samples {
		if s.Round == round && s.Work == work && s.Way == way {
			value, ok := s.Figures[figure]
			return value, ok
		}
	}
	return 0, false
}

// Rounds is how many there are.
func (l Line) Rounds() int {
	n := 0
	for _, s := range l.Samples {
		n = max(n, s.Round+1)
	}
	return n
}

// Figure is a figure of a work through a way.
func (l Line) Figure(work, way, figure string) (s Spread, ok bool) {
	var values []float64
	for round := range l.Rounds() {
		if value, ok := l.figure(round, work, way, figure); ok {
			values = append(values, value)
		}
	}
	return SpreadOf(values), len(values) > 0
}

// Ratio is that of a figure through two ways. It is taken within each round, whose noise both share.
func (l Line) Ratio(work, way, base, figure string) (s Spread, ok bool) {
	var values []float64
	for round := range l.Rounds() {
		value, ok := l.figure(round, work, way, figure)
		of, baseOK := l.figure(round, work, base, figure)
		if ok && baseOK && of > 0 {
			values = append(values, value/of)
		}
	}
	return SpreadOf(values), len(values) > 0
}

// Errors is how many requests of a work failed through a way, and how many rounds did.
func (l Line) Errors(work, way string) (requests, rounds int) {
	for _, s := range l.Samples {
		if s.Work == work && s.Way == way {
			requests += s.Errors
			if s.Failed != "" {
				rounds++
			}
		}
	}
	return requests, rounds
}
