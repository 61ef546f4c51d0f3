// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/line"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/profiling"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/way"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// A task is a work through a way, over a line.
type task struct {
	spec line.Spec
	work work.Work
	way  *way.Opened
}

// programProfiles are those of the plugin and the traffic-proxy that a way goes through, a file for each task: its last
// round stays. One that can't be had is worth a message, and no reason to lose what was measured.
type programProfiles struct {
	dir string
	log io.Writer
	// ordinary are the programs of which was said that they have none.
	ordinary map[string]bool
}

// startCPU begins profiles of the processors' time, and returns what ends them and writes them. A work that measures
// memory has none: they would be in it.
func (p *programProfiles) startCPU(ctx context.Context, t task) (stop func()) {
	if t.work.Name == work.Idle {
		return func() {}
	}
	var started []way.Program
	for _, program := range t.way.Programs {
		if err := profiling.StartCPU(ctx, program.PID); err != nil {
			p.warn(ctx, t, program, err)
			continue
		}
		started = append(started, program)
	}
	return func() {
		for _, program := range started {
			data, err := profiling.StopCPU(ctx, program.PID)
			p.write(ctx, t, program, "", data, err)
		}
	}
}

// heap writes profiles of the memory in use.
func (p *programProfiles) heap(ctx context.Context, t task) {
	for _, program := range t.way.Programs {
		data, err := profiling.Heap(ctx, program.PID)
		p.write(ctx, t, program, "-heap", data, err)
	}
}

// write writes a profile if there was no error.
func (p *programProfiles) write(
	ctx context.Context, t task, program way.Program, kind string, data []byte, err error,
) {
	if err == nil {
		err = os.WriteFile(filepath.Join(p.dir, t.fileName(program.Name+kind)), data, 0o644)
	}
	if err != nil {
		p.warn(ctx, t, program, err)
	}
}

// warn says why there is no profile, unless the run is broken off.
func (p *programProfiles) warn(ctx context.Context, t task, program way.Program, err error) {
	switch name := t.way.Way.Name; {
	case ctx.Err() != nil:
	case !errors.Is(err, profiling.ErrNotServed):
		fmt.Fprintf(p.log, "⚠ %s, %s: no profile of %s: %v\n", name, t.work.Name, program.Name, err)
	case !p.ordinary[name+" "+program.Name]:
		p.ordinary[name+" "+program.Name] = true
		fmt.Fprintf(p.log, "⚠ %s: no profiles of %s: %v; run 'make bench-profile'\n", name, program.Name, err)
	}
}

// fileName is that of a profile: rtt-20-loss-1-download-velo-reverse-traffic-proxy.pprof.
func (t task) fileName(program string) string {
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', 4, 64) }
	name := "rtt-" + number(float64(t.spec.RTT)/float64(time.Millisecond))
	if t.spec.Loss > 0 {
		name += "-loss-" + number(t.spec.Loss*100)
	}
	return name + "-" + t.work.Name + "-" + t.way.Way.Name + "-" + program + ".pprof"
}
