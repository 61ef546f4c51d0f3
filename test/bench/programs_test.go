// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/line"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/profiling"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/way"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

func newTask(spec line.Spec, workName, wayName string) task {
	return task{spec, work.Work{Name: workName}, &way.Opened{Way: way.Way{Name: wayName}}}
}

func TestFileName(t *testing.T) {
	for _, test := range []struct {
		name    string
		task    task
		program string
		want    string
	}{
		{
			"a cable", newTask(line.Spec{}, work.KeepAlive50, way.VeloReverse), way.PluginProgram,
			"rtt-0-keepalive-50-velo-reverse-kubectl-velo.pprof",
		},
		{
			"a loss", newTask(line.Spec{RTT: 20 * time.Millisecond, Loss: 0.01}, work.Download, way.VeloForward),
			way.ProxyProgram, "rtt-20-loss-1-download-velo-forward-traffic-proxy.pprof",
		},
		{
			"another build", newTask(line.Spec{RTT: 1500 * time.Microsecond, Loss: 0.005}, work.Idle, "velo-forward@old"),
			way.ProxyProgram + "-heap", "rtt-1.5-loss-0.5-idle-velo-forward@old-traffic-proxy-heap.pprof",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.task.fileName(test.program); got != test.want {
				t.Errorf("it is %s, not %s", got, test.want)
			}
		})
	}
}

// A build without profiles is spoken of once, anything else as often as it happens.
func TestWarn(t *testing.T) {
	var log strings.Builder
	p := &programProfiles{log: &log, ordinary: map[string]bool{}}
	plugin := way.Program{Name: way.PluginProgram}
	download := newTask(line.Spec{}, work.Download, way.VeloReverse)
	for _, err := range []error{profiling.ErrNotServed, profiling.ErrNotServed, os.ErrNotExist, os.ErrNotExist} {
		p.warn(t.Context(), download, plugin, err)
	}
	p.warn(t.Context(), newTask(line.Spec{}, work.Upload, way.VeloForward), plugin, profiling.ErrNotServed)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p.warn(ended, download, plugin, errors.New("context canceled"))
	const want = "⚠ velo-reverse: no profiles of kubectl-velo: it was built without the tag profile; run 'make bench-profile'\n" +
		"⚠ velo-reverse, download: no profile of kubectl-velo: file does not exist\n" +
		"⚠ velo-reverse, download: no profile of kubectl-velo: file does not exist\n" +
		"⚠ velo-forward: no profiles of kubectl-velo: it was built without the tag profile; run 'make bench-profile'\n"
	if log.String() != want {
		t.Errorf("it says\n%snot\n%s", log.String(), want)
	}
}
