// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/podforward"
)

// announce says where everything is: on stdout as kubectl port-forward does, unless another format is wanted, or stdout is
// the COMMAND's.
func (s *forwardSession) announce() error {
	for _, f := range s.forwards {
		s.report.is("%s is at %s", f, f.shownAddress())
	}
	if s.options.output != "" {
		return printForwards(s.options.streams.Out, s.options.output, s.describe())
	}
	if len(s.options.command) > 0 {
		return nil
	}
	for _, f := range s.forwards {
		for _, l := range f.listeners {
			if _, err := fmt.Fprintf(s.options.streams.Out, "Forwarding from %s -> %d\n", l.Addr(), f.port.container); err != nil {
				return err
			}
		}
	}
	return nil
}

// shownAddress is the first one, for people.
func (f *portForward) shownAddress() string {
	address := f.listeners[0].Addr().(*net.TCPAddr)
	if address.IP.IsLoopback() {
		return net.JoinHostPort("localhost", strconv.Itoa(address.Port))
	}
	return address.String()
}

// tellCuts tells when new connections have to wait, and when they go on, until ctx ends.
func (s *forwardSession) tellCuts(ctx context.Context, target *forwardTarget) {
	var told time.Time // since when they wait, if that was told
	for {
		changed, status := target.pool.Changed(), target.pool.Status()
		var brief <-chan time.Time
		switch {
		case status.State == podforward.Ready && !told.IsZero():
			s.report.is("%s goes on, after %v", target.Name, time.Since(told).Round(100*time.Millisecond))
			told = time.Time{}
		case status.State == podforward.Waiting && told.IsZero():
			if left := briefCut - time.Since(status.Since); left > 0 {
				brief = time.After(left)
				break
			}
			told = status.Since
			s.report.warns("%s: new connections wait: %s", target.Name, status.Reason)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-brief:
		}
	}
}

// refusalsWorthTelling is how many there are when something is wrong: a pod that goes, or has just come, refuses a few.
const refusalsWorthTelling = 5

// tellRefusals tells from time to time what pods refuse, until ctx ends.
func (s *forwardSession) tellRefusals(ctx context.Context, f *portForward) {
	tick := time.NewTicker(noticeInterval)
	defer tick.Stop()
	told := int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		refusals := f.forward.Traffic().Refusals
		if refusals.Count-told >= refusalsWorthTelling {
			s.report.warns("%s: pods have refused connections %d times: %s", f, refusals.Count-told, refusals.Last)
		}
		told = refusals.Count
	}
}
