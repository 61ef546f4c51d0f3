// SPDX-License-Identifier: Apache-2.0

package work

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/netns"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/server"
)

// slack is how much longer than it is told to a work may take.
const slack = time.Minute

// Do does a work once, from a namespace.
func (w Work) Do(ctx context.Context, from *netns.Namespace, c Caller, sizes Sizes) (Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, sizes.Wrk+sizes.Limit+2*sizes.Probe+slack)
	defer cancel()
	if w.load == nil {
		out, err := output(from, exec.CommandContext(ctx, "wrk", append(w.wrk(c, sizes), c.URL+server.SmallPath)...))
		if err != nil {
			return Sample{}, err
		}
		return parseWrk(string(out))
	}
	load := w.load(sizes)
	load.URL, load.Host = c.URL, c.Host
	if load.Kind == kindIdle {
		return idle(ctx, from, c, load)
	}
	return Remote(ctx, from, load)
}

// Measures tells whether the work can be done by a caller.
func (w Work) Measures(c Caller) bool { return w.Name != Idle || c.Memory != nil }

// settled is how long memory is left to settle.
const settled = time.Second

// idle measures how much memory connections take that do nothing, each.
func idle(ctx context.Context, from *netns.Namespace, c Caller, load Load) (Sample, error) {
	laptop, cluster, err := c.Memory()
	if err != nil {
		return Sample{}, err
	}
	cmd, err := remote(ctx, load)
	if err != nil {
		return Sample{}, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Sample{}, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Sample{}, err
	}
	if err := from.Start(cmd); err != nil {
		return Sample{}, err
	}
	var s Sample
	err = json.NewDecoder(stdout).Decode(&s)
	var laptopAfter, clusterAfter int64
	if err == nil {
		time.Sleep(settled)
		laptopAfter, clusterAfter, err = c.Memory()
	}
	if err == nil && c.Held != nil {
		c.Held(ctx)
	}
	if err = errors.Join(err, stdin.Close(), cmd.Wait()); err != nil {
		return Sample{}, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	open := float64(load.Count - s.Errors)
	if open <= 0 {
		return Sample{}, fmt.Errorf("%w: no connection could be opened", errAnswer)
	}
	s.Figures = map[string]float64{
		Laptop:  float64(laptopAfter-laptop) / open,
		Cluster: float64(clusterAfter-cluster) / open,
	}
	return s, nil
}

// Remote does a load in a process of its own in a namespace.
func Remote(ctx context.Context, from *netns.Namespace, load Load) (Sample, error) {
	cmd, err := remote(ctx, load)
	if err != nil {
		return Sample{}, err
	}
	out, err := output(from, cmd)
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	if err := json.Unmarshal(out, &s); err != nil {
		return Sample{}, fmt.Errorf("what the load tells: %w", err)
	}
	return s, nil
}

// remote is the process.
func remote(ctx context.Context, load Load) (*exec.Cmd, error) {
	description, err := json.Marshal(load)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, program, "load", string(description)), nil
}

func output(from *netns.Namespace, cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := from.Run(cmd); err != nil {
		said := strings.TrimSpace(stderr.String())
		if said == "" {
			said = strings.TrimSpace(stdout.String())
		}
		return nil, fmt.Errorf("%w: %s", err, said)
	}
	return stdout.Bytes(), nil
}
