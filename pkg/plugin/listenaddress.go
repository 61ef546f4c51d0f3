// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
	"github.com/kubectl-velo/kubectl-velo/pkg/socketerror"
)

// listenAddress is one that --address means.
type listenAddress struct {
	netip.Addr

	// either is whether another one will do: of localhost's two, a machine may have one.
	either bool
}

// listenAddresses reads --address.
func listenAddresses(values []string) ([]listenAddress, error) {
	var all []listenAddress
	add := func(address netip.Addr, either bool) {
		for i, known := range all {
			if known.Addr == address {
				all[i].either = known.either && either
				return
			}
		}
		all = append(all, listenAddress{address, either})
	}
	for _, value := range values {
		if value == "localhost" {
			add(netip.AddrFrom4([4]byte{127, 0, 0, 1}), true)
			add(netip.IPv6Loopback(), true)
			continue
		}
		address, err := netip.ParseAddr(value)
		if err != nil {
			return nil, usageErrorf("--address: %s is not a valid IP", value)
		}
		add(address.Unmap(), false)
	}
	if len(all) == 0 {
		return nil, usageErrorf("you must specify at least 1 address")
	}
	return all, nil
}

// listenAtAll listens at a port of all addresses. Port 0 is one that is free at the first, and is wanted of the others then.
// A port that somebody else has at one of localhost's addresses is taken: callers would reach one or the other.
func listenAtAll(ctx context.Context, addresses []listenAddress, port uint16) (listeners []*net.TCPListener, err error) {
	defer func() {
		if err != nil {
			closeAll(listeners)
			listeners = nil
		}
	}()
	var either error // why one of localhost's was not to be had
	free, had := port == 0, false
	for _, address := range addresses {
		network := "tcp4"
		if address.Is6() {
			network = "tcp6"
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, network, netip.AddrPortFrom(address.Addr, port).String())
		switch {
		case err == nil:
			listener := l.(*net.TCPListener)
			listeners = append(listeners, listener)
			port = uint16(listener.Addr().(*net.TCPAddr).Port) //nolint:gosec // a port
			had = had || address.either
		case address.either && (free || !socketerror.IsInUse(err) && !socketerror.IsForbidden(err)):
			either = errors.Join(either, err)
		default:
			return listeners, listenError(port, err)
		}
	}
	if either != nil && !had {
		return listeners, listenError(port, either)
	}
	return listeners, nil
}

// listenError says whose the port is, and what to do.
func listenError(port uint16, err error) error {
	by := ""
	if socketerror.IsInUse(err) {
		by = holder(dependency.TCP, port)
	}
	err = fmt.Errorf("unable to listen on port %d: %w%s", port, err, by)
	if socketerror.IsNoAddress(err) {
		return withHint(err, "give --address an IP that this machine has")
	}
	if socketerror.IsInUse(err) || socketerror.IsForbidden(err) {
		return withHint(err, "name another local port, as LOCAL:REMOTE, or none, as :REMOTE, for a free one")
	}
	return err
}

func closeAll(listeners []*net.TCPListener) {
	for _, l := range listeners {
		_ = l.Close() // closed is all it can be
	}
}
