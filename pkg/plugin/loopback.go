// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
	"github.com/kubectl-velo/kubectl-velo/pkg/socketerror"
)

// localNetwork is where dependencies get addresses, on systems whose loopback interface has all of 127.0.0.0/8.
const localNetwork = 84

// localPort is a listener that stands in for one port of a dependency.
type localPort struct {
	tcp *net.TCPListener // or
	udp *net.UDPConn
}

func (p localPort) address() netip.AddrPort {
	if p.udp != nil {
		return p.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	return p.tcp.Addr().(*net.TCPAddr).AddrPort()
}

func (p localPort) close() {
	// Listeners: closed is all they can be.
	if p.udp != nil {
		_ = p.udp.Close()
	} else {
		_ = p.tcp.Close()
	}
}

// loopback gives each dependency an address of its own on this machine, where the system has them without asking, so that
// dependencies keep their ports and several may have the same one. Elsewhere they share 127.0.0.1 and get free ports.
type loopback struct {
	own  bool
	next uint16 // the last two bytes of the next address
	// reserved are the ports that the process on this machine is likely to listen at, on all addresses: there none may be
	// taken.
	reserved map[uint16]bool
}

func newLoopback(reserved map[uint16]bool) *loopback {
	// Sessions at the same time begin at different addresses.
	var start [1]byte
	_, _ = rand.Read(start[:]) // it never fails, says its documentation
	return &loopback{own: runtime.GOOS == "linux", next: uint16(start[0])<<8 + 1, reserved: reserved}
}

func (l *loopback) address() netip.Addr {
	if !l.own {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	address := netip.AddrFrom4([4]byte{127, localNetwork, byte(l.next >> 8), byte(l.next)}) //nolint:gosec // its two bytes
	l.next++
	return address
}

// movedPort says that a port couldn't be kept.
type movedPort struct {
	dependency dependency.Dependency
	to         netip.AddrPort
	why        error
}

// addressTries is how many addresses are tried: another session may have one already.
const addressTries = 8

// listen listens for dependencies that share an address, in their order. Where a port isn't to be had at any of some addresses,
// a free one is taken.
func (l *loopback) listen(ctx context.Context, all []dependency.Dependency) (ports []localPort, moved []movedPort, err error) {
	for range addressTries {
		ports, moved, err = l.listenAll(ctx, l.address(), all)
		if err != nil || len(moved) == 0 {
			return ports, moved, err
		}
		for _, port := range ports {
			port.close()
		}
	}
	return l.listenAll(ctx, l.address(), all)
}

func (l *loopback) listenAll(ctx context.Context, address netip.Addr, all []dependency.Dependency) (ports []localPort, moved []movedPort, err error) {
	for _, d := range all {
		wanted := d.Port
		if !l.own || l.reserved[d.Port] {
			wanted = 0
		}
		port, err := listenAt(ctx, d.Protocol, netip.AddrPortFrom(address, wanted))
		if wanted != 0 && (socketerror.IsInUse(err) || socketerror.IsForbidden(err)) {
			why := err
			if port, err = listenAt(ctx, d.Protocol, netip.AddrPortFrom(address, 0)); err == nil && socketerror.IsInUse(why) {
				moved = append(moved, movedPort{d, port.address(), why})
			}
		}
		if err != nil {
			for _, port := range ports {
				port.close()
			}
			return nil, nil, fmt.Errorf("listening for %s: %w", title(d), err)
		}
		ports = append(ports, port)
	}
	return ports, moved, nil
}

func listenAt(ctx context.Context, protocol dependency.Protocol, address netip.AddrPort) (localPort, error) {
	// Callers are on this machine: none vanishes without its connection's end.
	config := net.ListenConfig{KeepAlive: -1}
	if protocol == dependency.UDP {
		conn, err := config.ListenPacket(ctx, "udp", address.String())
		if err != nil {
			return localPort{}, err
		}
		return localPort{udp: conn.(*net.UDPConn)}, nil
	}
	listener, err := config.Listen(ctx, "tcp", address.String())
	if err != nil {
		return localPort{}, err
	}
	return localPort{tcp: listener.(*net.TCPListener)}, nil
}

// title is a dependency's host and port, for people.
func title(d dependency.Dependency) string {
	t := net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port)))
	if d.Protocol == dependency.UDP {
		t += "/udp"
	}
	return t
}
