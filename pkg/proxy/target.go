// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// targetDeadline is how long a host in the cluster may take to be reached, targetTry how long each try may.
	targetDeadline = 10 * time.Second
	targetTry      = 3 * time.Second
	// refusedFor is how long a host that refuses is tried again: a node that hasn't heard yet that a Service's pod has
	// gone still sends connections there.
	refusedFor  = time.Second
	targetPause = 100 * time.Millisecond
)

// serveForward connects a stream to a host in the cluster, by its name as pods know it.
func (s *session) serveForward(ctx context.Context, st stream, h streamHeader) {
	target, err := s.dialTarget(ctx, h)
	if err != nil {
		st.reset(dialCode(err))
		return
	}
	s.forwards.carry(st, target)
}

// dialTarget connects to the host of a header.
func (s *session) dialTarget(ctx context.Context, h streamHeader) (tcpConn, error) {
	ctx, cancel := context.WithTimeout(ctx, targetDeadline)
	defer cancel()
	began := time.Now()
	for {
		conn, err := s.resolver.dial(ctx, "tcp", h.host, h.port)
		switch {
		case err == nil:
			return tcpConn{conn.(*net.TCPConn)}, nil
		case isUnresolved(err), isRefused(err) && time.Since(began) > refusedFor, !wait(ctx, targetPause):
			return tcpConn{}, err
		}
	}
}

// dialCode tells the other end why a host can't be reached.
func dialCode(err error) resetCode {
	switch {
	case isUnresolved(err):
		return resetUnresolved
	case isRefused(err):
		return resetDialRefused
	default:
		return resetUnreachable
	}
}

func isUnresolved(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// serveDatagrams connects a stream of datagrams to a host in the cluster, until either end has nothing more to say.
func (s *session) serveDatagrams(ctx context.Context, st stream, h streamHeader) {
	target, err := s.resolver.dial(ctx, "udp", h.host, h.port)
	if err != nil {
		st.reset(dialCode(err))
		return
	}
	flow := &flow{st}
	var directions errgroup.Group
	directions.Go(func() error {
		defer target.Close()
		return passFlow(target, flow)
	})
	directions.Go(func() error {
		defer flow.Close()
		return passFlow(flow, target)
	})
	_ = directions.Wait() // datagrams that are lost tell nobody
}

// passFlow passes datagrams on until none has come for a while, or one side is closed.
func passFlow(to, from datagrams) error {
	buf := make([]byte, maxDatagram)
	for {
		if err := from.SetReadDeadline(time.Now().Add(datagramIdle)); err != nil {
			return err
		}
		n, err := from.Read(buf)
		switch {
		case isRefused(err):
			continue // ICMP said that nobody listened; somebody may later
		case err != nil:
			return err
		}
		if _, err := to.Write(buf[:n]); errors.Is(err, net.ErrClosed) {
			return err
		}
	}
}
