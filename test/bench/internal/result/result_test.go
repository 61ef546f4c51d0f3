// SPDX-License-Identifier: Apache-2.0

package result

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

func TestSpreadOf(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []float64
		want   Spread
	}{
		{"none", nil, Spread{}},
		{"one", []float64{7}, Spread{Median: 7, Min: 7, Max: 7, Rounds: 1}},
		{"odd", []float64{9, 1, 5}, Spread{Median: 5, Min: 1, Max: 9, Rounds: 3}},
		{"even", []float64{4, 1, 2, 9}, Spread{Median: 3, Min: 1, Max: 9, Rounds: 4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			values := slices.Clone(test.values)
			if got := SpreadOf(values); got != test.want {
				t.Errorf("it is %+v, not %+v", got, test.want)
			}
			if !slices.Equal(values, test.values) {
				t.Error("the values are in another order")
			}
		})
	}
}

// sample is one with a single figure.
func sample(round int, name, way, figure string, value float64) Sample {
	return Sample{Round: round, Work: name, Way: way, Sample: work.Sample{Figures: map[string]float64{figure: value}}}
}

func TestRatio(t *testing.T) {
	l := Line{Samples: []Sample{
		// The second round was noisy for both, the third failed for one.
		sample(0, work.Download, direct, work.Rate, 100), sample(0, work.Download, reverse, work.Rate, 50),
		sample(1, work.Download, direct, work.Rate, 10), sample(1, work.Download, reverse, work.Rate, 6),
		sample(2, work.Download, direct, work.Rate, 100),
		{Round: 2, Work: work.Download, Way: reverse, Failed: "it fell over"},
		sample(3, work.Download, direct, work.Rate, 0), sample(3, work.Download, reverse, work.Rate, 1),
	}}
	got, ok := l.Ratio(work.Download, reverse, direct, work.Rate)
	if want := (Spread{Median: 0.55, Min: 0.5, Max: 0.6, Rounds: 2}); !ok || math.Abs(got.Median-want.Median) > 1e-9 ||
		got.Min != want.Min || got.Max != want.Max || got.Rounds != want.Rounds {
		t.Errorf("the ratio is %+v, not %+v", got, want)
	}
	if _, ok := l.Ratio(work.Upload, reverse, direct, work.Rate); ok {
		t.Error("what was not measured has a ratio")
	}
	if requests, rounds := l.Errors(work.Download, reverse); requests != 0 || rounds != 1 {
		t.Errorf("%d requests and %d rounds failed", requests, rounds)
	}
}

// measured is a run over one line, with one round of values by way.
func measured(rtt time.Duration, name, figure string, values map[string]float64) *Run {
	r := &Run{Lines: []Line{{RTT: rtt}}}
	for _, way := range []string{direct, kubectl, forward, reverse} {
		if value, ok := values[way]; ok {
			r.Ways = append(r.Ways, Name{Name: way})
			r.Lines[0].Samples = append(r.Lines[0].Samples, sample(0, name, way, figure, value))
		}
	}
	return r
}

func TestJudge(t *testing.T) {
	const far = 180 * time.Millisecond
	for _, test := range []struct {
		name   string
		run    *Run
		way    string
		target Target // as far as it tells it from others
		want   Verdict
	}{
		{
			"more is better, aim reached", measured(far, work.Download, work.Rate,
				map[string]float64{direct: 10, forward: 30}),
			forward,
			Target{RTT: far, Work: work.Download, Base: direct},
			AimReached,
		},
		{
			"more is better, reached", measured(far, work.Download, work.Rate,
				map[string]float64{direct: 10, forward: 10}),
			forward,
			Target{RTT: far, Work: work.Download, Base: direct},
			Reached,
		},
		{
			"more is better, not reached", measured(far, work.Download, work.Rate,
				map[string]float64{direct: 10, forward: 9.9}),
			forward,
			Target{RTT: far, Work: work.Download, Base: direct},
			NotReached,
		},
		{
			"less is better, reached", measured(far, work.NewConnection, work.P50,
				map[string]float64{direct: 0.36, reverse: 0.19}),
			reverse,
			Target{RTT: far, Work: work.NewConnection, Base: direct},
			Reached,
		},
		{
			"less is better, not reached", measured(far, work.NewConnection, work.P50,
				map[string]float64{direct: 0.36, reverse: 0.36}),
			reverse,
			Target{RTT: far, Work: work.NewConnection, Base: direct},
			NotReached,
		},
		{
			"without an aim", measured(far, work.NewConnection, work.P50,
				map[string]float64{kubectl: 0.5, reverse: 0.01}),
			reverse,
			Target{RTT: far, Work: work.NewConnection, Base: kubectl},
			Reached,
		},
		{
			"a figure of its own", measured(far, work.Latency, work.AddedP99, map[string]float64{forward: -0.001}),
			forward,
			Target{RTT: far, Work: work.Latency},
			AimReached,
		},
		{
			"without the base", measured(far, work.Download, work.Rate, map[string]float64{forward: 30}),
			forward,
			Target{RTT: far, Work: work.Download, Base: direct},
			NotMeasured,
		},
		{
			"over another line", measured(time.Second, work.Download, work.Rate,
				map[string]float64{direct: 10, forward: 30}),
			forward,
			Target{RTT: far, Work: work.Download, Base: direct},
			NotMeasured,
		},
		{
			"reverse to forward", measured(0, work.Connections, work.Rate,
				map[string]float64{forward: 10, reverse: 9.5}),
			reverse,
			Target{Work: work.Connections, Base: forward},
			Reached,
		},
		{
			"reverse to forward, times", measured(far, work.NewConnection, work.P50,
				map[string]float64{forward: 1, reverse: 1.2}),
			reverse,
			Target{RTT: far, Work: work.NewConnection, Base: forward},
			NotReached,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var found []Judgement
			for _, j := range test.run.Judge() {
				if j.Way == test.way && j.Target.RTT == test.target.RTT && j.Target.Work == test.target.Work &&
					j.Target.Base == test.target.Base {
					found = append(found, j)
				}
			}
			if len(found) != 1 || found[0].Verdict != test.want {
				t.Errorf("judged as %+v, not %v", found, test.want)
			}
		})
	}
}

func TestJudgeAnotherBuild(t *testing.T) {
	r := measured(0, work.Connections, work.Rate, map[string]float64{kubectl: 1, forward: 10})
	for _, name := range []string{forward + "@other", reverse + "@other"} {
		r.Ways = append(r.Ways, Name{Name: name})
		r.Lines[0].Samples = append(r.Lines[0].Samples, sample(0, work.Connections, name, work.Rate, 5))
	}
	for _, j := range r.Judge() {
		// The other build's reverse tunnel is compared to its own forward tunnel.
		if j.Way == reverse+"@other" && j.Target.Work == work.Connections && j.Target.Base == forward &&
			j.Value.Median != 1 {
			t.Errorf("it is %v times its forward tunnel", j.Value.Median)
		}
	}
}

// Every target has to be one that can be measured.
func TestTargets(t *testing.T) {
	for _, target := range append(Targets(), reverseTargets()...) {
		w, ok := work.Find(target.Work)
		if !ok {
			t.Errorf("there is no work %q", target.Work)
			continue
		}
		f, ok := w.Figure(target.Figure)
		if !ok {
			t.Errorf("%s has no figure %q", target.Work, target.Figure)
		}
		if target.Aim != 0 && f.More() != (target.Aim >= target.Bound) {
			t.Errorf("%s, %s: the aim %v is easier than the bound %v", target.Work, target.Figure, target.Aim,
				target.Bound)
		}
		if (target.Base == "") != f.Absolute {
			t.Errorf("%s, %s: compared to %q", target.Work, target.Figure, target.Base)
		}
	}
}

func TestLineName(t *testing.T) {
	for _, test := range []struct {
		rtt  time.Duration
		loss float64
		want string
	}{
		{0, 0, "RTT 0 ms"},
		{180 * time.Millisecond, 0, "RTT 180 ms"},
		{20 * time.Millisecond, 0.01, "RTT 20 ms, 1 % loss"},
		{1500 * time.Microsecond, 0.005, "RTT 1.5 ms, 0.5 % loss"},
	} {
		if got := LineName(test.rtt, test.loss); got != test.want {
			t.Errorf("it is %q, not %q", got, test.want)
		}
	}
}
