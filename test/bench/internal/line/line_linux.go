// SPDX-License-Identifier: Apache-2.0

// Package line joins the laptop's network namespace to the cluster's: by a short cable, or by a long line. All that the
// laptop reaches, it reaches through that.
package line

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/netns"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/wan"
)

const (
	// device is the name of both ends, each in its namespace. The one in the cluster's also keeps a second benchmark from
	// running at the same time.
	device = "velobench0"
	// LaptopAddress and clusterAddress are from the range for benchmarks (RFC 2544).
	LaptopAddress  = "198.18.0.2"
	clusterAddress = "198.18.0.1"
	mtu            = 1500
	// waiting is how many packets the kernel keeps for an end that is behind: none is to be lost but by intent.
	waiting = 20000
	// endTime is how long a line's process may take to end.
	endTime = 5 * time.Second
)

// Spec is what a line is like.
type Spec struct {
	RTT  time.Duration
	Loss float64 // of each direction, 0 to 1
	Rate int64   // of each direction in bytes per second, 0 is no limit
	// Queue is how many bytes wait at most where Rate limits them, 0 is no limit.
	Queue int64
	Seed  uint64
}

// Emulated tells whether the line is an emulated one rather than a cable.
func (s Spec) Emulated() bool { return s.RTT > 0 || s.Loss > 0 || s.Rate > 0 }

func (s Spec) config() wan.Config {
	return wan.Config{Delay: s.RTT / 2, Loss: s.Loss, Rate: s.Rate, Queue: s.Queue, Seed: s.Seed}
}

// A Line is up until it is taken down.
type Line struct {
	laptop *netns.Namespace
	pump   *exec.Cmd
	stderr bytes.Buffer
	ask    *os.File      // a byte asks the process for a lap, and the end ends it
	told   *json.Decoder // what it answers
	// Sum is what the line has done in all laps, to the laptop's packets and to the cluster's.
	Sum [2]wan.Counts
}

// NewLaptop makes the laptop's namespace.
func NewLaptop(ctx context.Context) (*netns.Namespace, error) {
	laptop, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("making a network namespace: %w", err)
	}
	err = laptop.IP(ctx, "link set lo up")
	// A connection per request soon uses up the ports there are by default.
	for _, s := range [][2]string{{"net/ipv4/ip_local_port_range", "11000 65535"}, {"net/ipv4/tcp_tw_reuse", "1"}} {
		err = errors.Join(err, laptop.Sysctl(s[0], s[1]))
	}
	if err != nil {
		laptop.Close()
		return nil, err
	}
	return laptop, nil
}

// Up joins the namespaces.
func Up(ctx context.Context, spec Spec, laptop, cluster *netns.Namespace) (*Line, error) {
	l := &Line{laptop: laptop}
	var err error
	if spec.Emulated() {
		err = l.startPump(ctx, spec.config(), laptop, cluster)
	} else {
		err = laptop.IP(ctx, fmt.Sprintf("link add %s type veth peer name %s netns %d", device, device, cluster.Tid()))
	}
	if err != nil {
		return nil, errors.Join(err, l.discard(ctx))
	}
	for _, end := range []struct {
		ns         *netns.Namespace
		own, other string
	}{{cluster, clusterAddress, LaptopAddress}, {laptop, LaptopAddress, clusterAddress}} {
		err := end.ns.IP(ctx,
			// Without addresses of IPv6, the device has nothing to say by itself.
			fmt.Sprintf("link set %s addrgenmode none mtu %d txqueuelen %d", device, mtu, waiting),
			fmt.Sprintf("addr add %s peer %s dev %s", end.own, end.other, device),
			fmt.Sprintf("link set %s up", device))
		if err != nil {
			return nil, errors.Join(err, l.discard(ctx))
		}
	}
	if err := laptop.IP(ctx, "route add default via "+clusterAddress); err != nil {
		return nil, errors.Join(err, l.discard(ctx))
	}
	return l, nil
}

// startPump makes the devices and hands them to a process of its own.
func (l *Line) startPump(ctx context.Context, config wan.Config, laptop, cluster *netns.Namespace) error {
	var ends []*os.File
	defer func() {
		for _, f := range ends {
			_ = f.Close() // the process has them
		}
	}()
	for _, ns := range []*netns.Namespace{laptop, cluster} {
		err := ns.Do(func() error {
			fd, err := wan.OpenTUN(device)
			if err == nil {
				ends = append(ends, os.NewFile(uintptr(fd), device))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	stdin, ask, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdin.Close()
	told, stdout, err := os.Pipe()
	if err != nil {
		return errors.Join(err, ask.Close())
	}
	defer stdout.Close()
	settings, err := json.Marshal(config)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	// It ends when it is told to, in order.
	pump := exec.CommandContext(context.WithoutCancel(ctx), program, "pump", string(settings))
	pump.Stdin, pump.Stdout, pump.Stderr, pump.ExtraFiles = stdin, stdout, &l.stderr, ends
	if err := laptop.Start(pump); err != nil {
		return errors.Join(err, ask.Close(), told.Close())
	}
	l.pump, l.ask, l.told = pump, ask, json.NewDecoder(told)
	return nil
}

// Lap tells what the line has done since the last lap. A cable tells nothing.
func (l *Line) Lap() ([2]wan.Counts, error) {
	var counts [2]wan.Counts
	if l.pump == nil {
		return counts, nil
	}
	if _, err := l.ask.Write([]byte{'\n'}); err != nil {
		return counts, fmt.Errorf("asking the line's process: %w: %s", err, l.stderr.String())
	}
	if err := l.told.Decode(&counts); err != nil {
		return counts, fmt.Errorf("asking the line's process: %w: %s", err, l.stderr.String())
	}
	for i := range counts {
		l.Sum[i].Add(counts[i])
	}
	return counts, nil
}

// Down takes the line down, also when ctx has ended.
func (l *Line) Down(ctx context.Context) error {
	if l.pump == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		return l.laptop.IP(ctx, "link del "+device)
	}
	kill := time.AfterFunc(endTime, func() { _ = l.pump.Process.Kill() })
	defer kill.Stop()
	if err := errors.Join(l.ask.Close(), l.pump.Wait()); err != nil {
		return fmt.Errorf("the line's process: %w: %s", err, l.stderr.String())
	}
	return nil
}

// discard is Down for a line that did not come up.
func (l *Line) discard(ctx context.Context) error {
	if l.pump == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		_ = l.laptop.IP(ctx, "link del "+device) // it may not be there
		return nil
	}
	return l.Down(ctx)
}

// Pump is the line's process: it has the devices as descriptors 3 and 4, answers each byte of its stdin with what the
// line has done, and ends with it.
func Pump(ctx context.Context, settings string, stdin io.Reader, stdout io.Writer) error {
	var config wan.Config
	if err := json.Unmarshal([]byte(settings), &config); err != nil {
		return err
	}
	if err := wan.Hurry(); err != nil {
		return err
	}
	for _, fd := range []int{3, 4} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	laps := make(chan chan<- [2]wan.Counts)
	go func() {
		defer cancel()
		answer := make(chan [2]wan.Counts)
		asked := make([]byte, 1)
		for {
			if _, err := io.ReadFull(stdin, asked); err != nil {
				return
			}
			select {
			case laps <- answer:
			case <-ctx.Done():
				return
			}
			if err := json.NewEncoder(stdout).Encode(<-answer); err != nil {
				return
			}
		}
	}()
	return wan.Pump(ctx, config, 3, 4, laps)
}
