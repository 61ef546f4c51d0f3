// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/usage"
)

const (
	// profileVariable tells the benchmark's own processes where to write a profile.
	profileVariable = "VELO_BENCH_PROFILE"
	usageName       = "processors.md"
)

// A profile collects which processes used the processors, and profiles of the programs that ways go through.
type profile struct {
	file     *os.File
	programs *programProfiles
}

// newProfile begins one in a directory; without one it collects nothing.
func newProfile(dir string, log io.Writer) (*profile, error) {
	if dir == "" {
		return &profile{}, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Setenv(profileVariable, dir); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(dir, usageName))
	if err != nil {
		return nil, err
	}
	programs := &programProfiles{dir: dir, log: log, ordinary: map[string]bool{}}
	_, err = fmt.Fprintf(file, "Seconds of processor time, in all and by process, and in parentheses for how long its threads "+
		"could have worked but had to wait for a processor.\n\n"+
		"| line | work | way | all | by process |\n|---|---|---|---|---|\n")
	return &profile{file: file, programs: programs}, err
}

// begin begins with a work, and returns what ends it.
func (p *profile) begin(ctx context.Context, t task) (end func() error) {
	if p.file == nil {
		return func() error { return nil }
	}
	stop := p.programs.startCPU(ctx, t)
	before := usage.Take()
	return func() error {
		used := usage.Take().Since(before)
		stop()
		return used.Write(p.file, result.LineName(t.spec.RTT, t.spec.Loss), t.work.Name, t.way.Way.Name)
	}
}

// held returns what to call while a work holds connections, or nil.
func (p *profile) held(t task) func(context.Context) {
	if p.file == nil {
		return nil
	}
	return func(ctx context.Context) { p.programs.heap(ctx, t) }
}

func (p *profile) close() error {
	if p.file == nil {
		return nil
	}
	return p.file.Close()
}

// profileSelf profiles this process, if that is wanted, until stop is called.
func profileSelf(name string) (stop func(), err error) {
	dir := os.Getenv(profileVariable)
	if dir == "" {
		return func() {}, nil
	}
	file, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d.pprof", name, os.Getpid())))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close() // a profile that isn't whole says so when it is read
	}, nil
}
