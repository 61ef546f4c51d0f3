// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/line"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/way"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

const (
	// repeats is how often a sample is taken again while which the emulator was too late.
	repeats = 2
	// shares of a round trip and of a second that the emulator may be late at worst: whichever is more.
	lateShare = 5
	lateAny   = 10 * time.Millisecond
)

// measurement goes through lines, rounds, works and ways.
type measurement struct {
	setup  way.Setup
	ways   []way.Way
	rounds int
	quick  bool
	// deadline is what no further round is to go beyond, if any.
	deadline time.Time
	log      io.Writer
	profile  *profile
	// failed counts the samples that are missing.
	failed int
}

// line measures all there is over one line. With an error it returns what was measured before.
func (m *measurement) line(ctx context.Context, p plannedLine) (r result.Line, err error) {
	r = result.Line{Name: p.name(), RTT: p.spec.RTT, Loss: p.spec.Loss, Rate: p.spec.Rate, Sizes: p.sizes}
	fmt.Fprintf(m.log, "► %s\n", p.name())
	began := time.Now()
	l, err := line.Up(ctx, p.spec, m.setup.Laptop, m.setup.Node)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.Down(ctx)) }()
	open := make([]*way.Opened, 0, len(m.ways))
	// Sessions end in order while there is a line.
	defer func() {
		for _, o := range open {
			m.close(o)
		}
	}()
	for _, w := range m.ways {
		o, err := w.Open(ctx, m.setup)
		if err != nil {
			return r, err
		}
		open = append(open, o)
	}
	if p.spec.Emulated() {
		defer func() { r.Carried = &l.Sum }()
	}
	var took time.Duration // by the round before
	for round := range m.rounds {
		roundBegan := time.Now()
		if round > 0 && !m.deadline.IsZero() && roundBegan.Add(took).After(m.deadline) {
			fmt.Fprintf(m.log, "⚠ %s: no time is left for more than %d of %d rounds\n", p.name(), round, m.rounds)
			break
		}
		if err := m.round(ctx, p, l, open, round, &r); err != nil {
			return r, err
		}
		took = time.Since(roundBegan)
		fmt.Fprintf(m.log, "✔ %s: round %d of %d (%s)\n", p.name(), round+1, m.rounds,
			time.Since(began).Round(time.Second))
	}
	return r, nil
}

// round does each work through each way once.
func (m *measurement) round(
	ctx context.Context, p plannedLine, l *line.Line, open []*way.Opened, round int, r *result.Line,
) error {
	for _, w := range p.works {
		for i := range open {
			// Each round starts with another way, so that none always comes after the same.
			at := (i + round) % len(open)
			if !w.Measures(open[at].Caller) {
				continue
			}
			switch {
			case w.Afresh && round > 0 && m.quick:
				continue
			case w.Afresh && round > 0:
				if err := m.reopen(ctx, &open[at]); err != nil {
					return err
				}
			case !open[at].Running():
				fmt.Fprintf(m.log, "⚠ %s has ended, and is opened again; it said last: %s\n", open[at].Way.Name,
					open[at].Said())
				if r.Reopened == nil {
					r.Reopened = map[string]int{}
				}
				r.Reopened[open[at].Way.Name]++
				if err := m.reopen(ctx, &open[at]); err != nil {
					return err
				}
			}
			sample, err := m.sample(ctx, w, open[at], p, l)
			if err != nil {
				return err
			}
			sample.Round = round
			r.Samples = append(r.Samples, sample)
		}
	}
	return nil
}

// sample does a work once, or once more if the line wasn't what it should be: an emulator that gets no processor in time
// is a line that stands still.
func (m *measurement) sample(
	ctx context.Context, w work.Work, o *way.Opened, p plannedLine, l *line.Line,
) (result.Sample, error) {
	r := result.Sample{Work: w.Name, Way: o.Way.Name}
	for {
		if _, err := l.Lap(); err != nil {
			return r, err
		}
		t := task{p.spec, w, o}
		caller := o.Caller
		caller.Held = m.profile.held(t)
		end := m.profile.begin(ctx, t)
		s, err := w.Do(ctx, o.From, caller, p.sizes)
		if endErr := errors.Join(ctx.Err(), end()); endErr != nil {
			return r, endErr
		}
		lap, lapErr := l.Lap()
		if lapErr != nil {
			return r, lapErr
		}
		r.Sample, r.Failed, r.Late = s, "", max(lap[0].Latest, lap[1].Latest)
		if r.Repeated < repeats && r.Late > max(p.spec.RTT/lateShare, lateAny) {
			fmt.Fprintf(m.log, "⚠ %s, %s: the emulator was %s late, once more\n", o.Way.Name, w.Name,
				r.Late.Round(time.Millisecond))
			r.Repeated++
			continue
		}
		if err != nil {
			r.Failed = err.Error()
			m.failed++
			fmt.Fprintf(m.log, "⚠ %s, %s: %v\n", o.Way.Name, w.Name, err)
		}
		return r, nil
	}
}

// reopen opens a way anew.
func (m *measurement) reopen(ctx context.Context, o **way.Opened) error {
	m.close(*o)
	again, err := (*o).Way.Open(ctx, m.setup)
	if err != nil {
		return err
	}
	*o = again
	return nil
}

// close closes a way. One that doesn't want to end is no reason to lose what was measured.
func (m *measurement) close(o *way.Opened) {
	if err := o.Close(); err != nil {
		fmt.Fprintf(m.log, "⚠ closing %s: %v\n", o.Way.Name, err)
	}
}
