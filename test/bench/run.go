// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/cluster"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/line"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/netns"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/report"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/way"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// errMeasuring is what a run ends with in which something could not be measured.
var errMeasuring = errors.New("not everything could be measured")

// run does all that is planned and writes what it came to, also when it is broken off.
func (o *options) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	lock, err := require(ctx, stderr)
	if err != nil {
		return err
	}
	defer lock.Close()
	dir, err := newDirectory()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.plugins, err = keepPlugins(dir, o.plugins); err != nil {
		return err
	}
	r := &result.Run{
		Command: o.command, Began: time.Now(), Quick: o.quick, Rounds: o.rounds, Machine: readMachine(),
	}
	if r.Machine.Busy() {
		fmt.Fprintf(stderr, "⚠ the machine has other things to do: its load is %.1f on %d processors\n",
			r.Machine.Load, r.Machine.Processors)
	}
	ways, err := o.available(ctx, r, stderr)
	if err != nil {
		return err
	}
	for _, w := range work.All() {
		if slices.ContainsFunc(o.lines,
			func(p plannedLine) bool { return slices.Contains(workNames(p.works), w.Name) }) {
			r.Works = append(r.Works, result.Name{Name: w.Name, Title: w.Title})
		}
	}
	failed, err := o.measure(ctx, r, ways, dir, stderr)
	r.Took = time.Since(r.Began)
	if len(r.Lines) > 0 {
		err = errors.Join(err, o.write(r, stdout, stderr))
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%w: %d samples are missing", errMeasuring, failed)
	}
	return err
}

// newDirectory makes a directory for the run, and removes those of runs that were killed: none is under way.
func newDirectory() (string, error) {
	const name = "velo-bench-"
	left, err := filepath.Glob(filepath.Join(os.TempDir(), name+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp("", name)
}

// available finds the ways that can be measured, and says which can't.
func (o *options) available(ctx context.Context, r *result.Run, log io.Writer) ([]way.Way, error) {
	var ways []way.Way
	for _, w := range way.All(o.plugins) {
		if !slices.Contains(o.plannedWays, w.Name) {
			continue
		}
		name := result.Name{Name: w.Name, Title: w.Title}
		if err := w.Check(ctx); err != nil {
			fmt.Fprintf(log, "⚠ %s: %v\n", w.Name, err)
			r.LeftOut = append(r.LeftOut, name)
			continue
		}
		ways = append(ways, w)
		r.Ways = append(r.Ways, name)
	}
	if len(ways) == 0 {
		return nil, fmt.Errorf("%w: none of these ways can be measured", errMeasuring)
	}
	return ways, nil
}

// measure sets up all that is needed, measures, and takes it down again. It returns how many samples are missing.
func (o *options) measure(
	ctx context.Context, r *result.Run, ways []way.Way, dir string, log io.Writer,
) (failed int, err error) {
	node, err := netns.Open(o.clusterNet)
	if err != nil {
		return 0, &hintError{err, "run 'make cluster-up'"}
	}
	defer node.Close()
	laptop, err := line.NewLaptop(ctx)
	if err != nil {
		return 0, err
	}
	defer laptop.Close()
	var intercepted []string
	for _, w := range ways {
		if w.Intercepts != "" {
			intercepted = append(intercepted, w.Intercepts)
		}
	}
	fmt.Fprintln(log, "► deploying what is measured")
	c, err := cluster.Setup(ctx, dir, intercepted)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Remove(context.WithoutCancel(ctx))) }()
	addVersions(ctx, r.Machine.Versions, c.ServerVersion, o.plugins)

	profile, err := newProfile(o.profile, log)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, profile.close()) }()
	m := &measurement{
		setup: way.Setup{Laptop: laptop, Node: node, Cluster: c}, rounds: o.rounds, quick: o.quick, ways: ways,
		log: log, profile: profile,
	}
	if o.quick {
		m.deadline = r.Began.Add(quickTime)
	}
	for _, p := range o.lines {
		l, err := m.line(ctx, p)
		if len(l.Samples) > 0 {
			r.Lines = append(r.Lines, l)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.name(), err)
		}
	}
	return m.failed, nil
}

// show writes the results of an earlier run anew.
func (o *options) show(stdout, log io.Writer) error {
	data, err := os.ReadFile(o.from)
	if err != nil {
		return err
	}
	var r result.Run
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("reading %s: %w", o.from, err)
	}
	return o.write(&r, stdout, log)
}

// write writes the results to wherever they are asked for: a table always.
func (o *options) write(r *result.Run, stdout, log io.Writer) error {
	if err := report.Text(stdout, r); err != nil {
		return err
	}
	if o.json != "" {
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(o.json, append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	if o.out == "" {
		return nil
	}
	return writeReport(o.out, r, log)
}

const (
	pageName = "benchmarks.md"
	plotName = "benchmarks.svg"
)

func writeReport(dir string, r *result.Run, log io.Writer) error {
	var page, plot bytes.Buffer
	if err := errors.Join(report.Markdown(&page, r, plotName), report.SVG(&plot, r),
		os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	for name, data := range map[string][]byte{pageName: page.Bytes(), plotName: plot.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(log, "✔ %s and %s written\n", filepath.Join(dir, pageName), filepath.Join(dir, plotName))
	return nil
}
