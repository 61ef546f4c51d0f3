// SPDX-License-Identifier: Apache-2.0

package result

import (
	"strings"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// Ways as [Targets] name them.
const (
	direct  = "clusterip"
	kubectl = "kubectl"
	forward = "velo-forward"
	reverse = "velo-reverse"
)

// A Target is what a figure has to reach.
type Target struct {
	RTT    time.Duration
	Loss   float64
	Work   string
	Figure string
	// Base is the way that the figure is compared to; without one the figure itself counts.
	Base string
	// Bound has to be reached, Aim is what to aim for; 0 is no aim.
	Bound, Aim float64
}

// Targets are those of both tunnels.
func Targets() []Target {
	const far, near = 180 * time.Millisecond, 20 * time.Millisecond
	return []Target{
		{RTT: far, Work: work.KeepAlive10, Figure: work.Rate, Base: direct, Bound: 0.99, Aim: 1},
		{RTT: far, Work: work.NewConnection, Figure: work.P50, Base: direct, Bound: 0.55, Aim: 0.5},
		{RTT: far, Work: work.NewConnection, Figure: work.P50, Base: kubectl, Bound: 0.36},
		{RTT: far, Work: work.Download, Figure: work.Rate, Base: direct, Bound: 1, Aim: 3},
		{RTT: far, Work: work.Downloads4, Figure: work.Rate, Base: direct, Bound: 0.9, Aim: 1},
		{RTT: far, Work: work.Latency, Figure: work.AddedP99, Bound: 0.05, Aim: 0.01},
		{RTT: near, Loss: 0.01, Work: work.KeepAlive10, Figure: work.P99, Base: direct, Bound: 1.2, Aim: 1},
		{Work: work.KeepAlive50, Figure: work.Rate, Base: kubectl, Bound: 1.5, Aim: 3},
		{Work: work.Connections, Figure: work.Rate, Base: kubectl, Bound: 3, Aim: 6},
		{Work: work.Download, Figure: work.Rate, Base: kubectl, Bound: 1, Aim: 2},
		{Work: work.Idle, Figure: work.Laptop, Bound: 32 << 10, Aim: 12 << 10},
		{Work: work.Idle, Figure: work.Cluster, Bound: 32 << 10, Aim: 12 << 10},
	}
}

// reverseTargets compare the reverse tunnel to the forward tunnel, in all that has a ratio.
func reverseTargets() []Target {
	const share = 0.9
	var all []Target
	seen := map[Target]bool{}
	for _, t := range Targets() {
		if t.Base == "" {
			continue
		}
		if t.Base, t.Bound, t.Aim = forward, share, 1; !more(t.Work, t.Figure) {
			t.Bound = 1 / share
		}
		if !seen[t] {
			seen[t] = true
			all = append(all, t)
		}
	}
	return all
}

// A Verdict is what became of a target.
type Verdict int

// Verdicts, from the worst.
const (
	NotMeasured Verdict = iota
	NotReached
	Reached
	AimReached
)

// A Judgement is a target as a way has reached it, or not.
type Judgement struct {
	Target  Target
	Way     string
	Value   Spread // zero where it was not measured
	Verdict Verdict
}

// Judge judges by the medians. Targets that the run was not to measure are not in it.
func (r *Run) Judge() []Judgement {
	var all []Judgement
	for _, w := range r.Ways {
		name, build, _ := strings.Cut(w.Name, "@")
		if name != forward && name != reverse {
			continue
		}
		for _, t := range Targets() {
			all = append(all, r.judge(t, w.Name, t.Base))
		}
		if base := strings.TrimSuffix(forward+"@"+build, "@"); name == reverse && r.has(base) {
			for _, t := range reverseTargets() {
				all = append(all, r.judge(t, w.Name, base))
			}
		}
	}
	return all
}

func (r *Run) has(way string) bool {
	for _, w := range r.Ways {
		if w.Name == way {
			return true
		}
	}
	return false
}

func (r *Run) judge(t Target, way, base string) Judgement {
	j := Judgement{Target: t, Way: way}
	line := r.line(t.RTT, t.Loss)
	if line == nil {
		return j
	}
	var ok bool
	if t.Base == "" {
		j.Value, ok = line.Figure(t.Work, way, t.Figure)
	} else {
		j.Value, ok = line.Ratio(t.Work, way, base, t.Figure)
	}
	if !ok {
		return j
	}
	reached := func(bound float64) bool {
		if more(t.Work, t.Figure) {
			return j.Value.Median >= bound
		}
		return j.Value.Median <= bound
	}
	switch {
	case !reached(t.Bound):
		j.Verdict = NotReached
	case t.Aim == 0 || !reached(t.Aim):
		j.Verdict = Reached
	default:
		j.Verdict = AimReached
	}
	return j
}

func (r *Run) line(rtt time.Duration, loss float64) *Line {
	for i, l := range r.Lines {
		if l.RTT == rtt && l.Loss == loss {
			return &r.Lines[i]
		}
	}
	return nil
}

func more(name, figure string) bool {
	w, _ := work.Find(name)
	f, _ := w.Figure(figure)
	return f.More()
}
