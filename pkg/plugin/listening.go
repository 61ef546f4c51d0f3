// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
)

const (
	// probeTimeout is how long a local port may take to say whether anybody listens at it.
	probeTimeout = 500 * time.Millisecond
	// probeEvery is how often it is asked until somebody does.
	probeEvery = time.Second
	// commandStarts is how long a COMMAND may take to listen before that is worth telling.
	commandStarts = 5 * time.Second
)

// address is where connections of the port are taken on this machine.
func (p interceptedPort) address() string {
	return net.JoinHostPort("localhost", strconv.Itoa(int(p.local)))
}

// listens reports whether anybody takes the port's connections.
func (p interceptedPort) listens(ctx context.Context) bool {
	conn, err := (&net.Dialer{Timeout: probeTimeout}).DialContext(ctx, "tcp", p.address())
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was sent
	return true
}

// needFreePorts says at which local ports a COMMAND couldn't listen: callers would reach who does. A session that is to be
// taken over from may be one of this machine, and its COMMAND, which ends with it, the one that listens.
func (s *session) needFreePorts(ctx context.Context) error {
	if len(s.options.command) == 0 || s.evicts != nil {
		return nil
	}
	var taken []error
	for _, port := range s.ports {
		if port.listens(ctx) {
			taken = append(taken, fmt.Errorf("%s is taken%s: the command couldn't listen there",
				port.address(), holder(dependency.TCP, port.local)))
		}
	}
	if len(taken) == 0 {
		return nil
	}
	return withHint(errors.Join(taken...),
		"free it, or name another port of this machine in --port; without a command, callers are led to what listens already")
}

// warnAboutSilence says at which local ports nobody listens yet. A COMMAND is about to.
func (s *session) warnAboutSilence(ctx context.Context) {
	if len(s.options.command) == 0 {
		s.silent = saySilent(ctx, s.report, s.ports)
	}
}

// saySilent says at which of some ports nobody listens, and returns them.
func saySilent(ctx context.Context, r *report, ports []interceptedPort) (silent []interceptedPort) {
	for _, port := range ports {
		if !port.listens(ctx) && ctx.Err() == nil {
			r.warns("nothing listens at %s yet; until it does, connections go to the cluster", port.address())
			silent = append(silent, port)
		}
	}
	return silent
}

// awaitCommand gives a COMMAND time to listen, and says at which ports it doesn't, and when it does.
func awaitCommand(ctx context.Context, r *report, ports []interceptedPort) {
	if pauseFor(ctx, commandStarts) {
		awaitListening(ctx, r, saySilent(ctx, r, ports))
	}
}

// awaitListening says when somebody listens where nobody did, until ctx ends.
func awaitListening(ctx context.Context, r *report, silent []interceptedPort) {
	for len(silent) > 0 && pauseFor(ctx, probeEvery) {
		silent = slices.DeleteFunc(silent, func(port interceptedPort) bool {
			listens := port.listens(ctx)
			if listens {
				r.is("%s listens now", port.address())
			}
			return listens
		})
	}
}
