// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
)

const (
	// probeTimeout is how long a local port may take to say whether anybody listens at it.
	probeTimeout = 500 * time.Millisecond
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
		sayWhoIsSilent(ctx, s.report, s.ports)
	}
}

// awaitListening gives a COMMAND time to listen, and says at which ports it doesn't.
func awaitListening(ctx context.Context, r *report, ports []interceptedPort) {
	if pauseFor(ctx, commandStarts) {
		sayWhoIsSilent(ctx, r, ports)
	}
}

func sayWhoIsSilent(ctx context.Context, r *report, ports []interceptedPort) {
	for _, port := range ports {
		if !port.listens(ctx) && ctx.Err() == nil {
			r.warns("nothing listens at %s yet; until it does, callers are answered by the cluster", port.address())
		}
	}
}
