// SPDX-License-Identifier: Apache-2.0

// Package report shows what a run came to: as text, as Markdown, as a plot.
package report

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// Ways that others are compared to.
const (
	direct  = "clusterip"
	kubectl = "kubectl"
)

// number writes three significant digits, with thousands set apart.
func number(v float64) string {
	if v != 0 && math.Abs(v) < 1000 {
		decimals := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
		s := strconv.FormatFloat(v, 'f', min(decimals, 3), 64)
		if strings.Contains(s, ".") {
			s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
		}
		if s == "-0" {
			return "0"
		}
		return strings.Replace(s, "-", "−", 1)
	}
	digits := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	var b strings.Builder
	if v < 0 {
		b.WriteRune('−')
	}
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// scale is what a unit is shown in.
func scale(u work.Unit) (factor float64, name string) {
	switch u {
	case work.BytesPerSecond:
		return 1e-6, "MB/s"
	case work.Seconds:
		return 1e3, "ms"
	case work.Bytes:
		return 1.0 / 1024, "KiB"
	case work.PerSecond:
		return 1, "req/s"
	default:
		return 1, string(u)
	}
}

// spread writes a median, and its range if there is more than one round.
func spread(s result.Spread, factor float64) string {
	median := number(s.Median * factor)
	if s.Rounds < 2 {
		return median
	}
	return median + " (" + number(s.Min*factor) + "–" + number(s.Max*factor) + ")"
}

// ratio writes how a figure compares.
func ratio(s result.Spread) string { return number(s.Median) + "×" }

// ratioSpread is ratio with its range.
func ratioSpread(s result.Spread) string {
	if s.Rounds < 2 {
		return ratio(s)
	}
	return ratio(s) + " (" + number(s.Min) + "–" + number(s.Max) + ")"
}

// size writes a number of bytes.
func size(bytes int64) string {
	const mebi = 1 << 20
	if bytes >= mebi {
		return number(float64(bytes)/mebi) + " MiB"
	}
	return number(float64(bytes)/1024) + " KiB"
}

// duration writes a time without what nobody asks for.
func duration(d time.Duration) string {
	s := d.Round(100 * time.Millisecond).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	return s
}
