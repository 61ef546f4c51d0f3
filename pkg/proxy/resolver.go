// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// resolvedFor is how long the addresses of a name are used again: less than the cluster's DNS allows, which is 5 s. A name
	// none of whose addresses can be reached is looked up anew before that.
	resolvedFor = 2 * time.Second
	// maxResolved bounds the names whose addresses are kept.
	maxResolved = 1 << 10
)

// resolver looks up the addresses of hosts in the cluster, for many connections to the same host only once in a while: a
// short name takes several questions to the cluster's DNS.
type resolver struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	mu      sync.Mutex
	known   map[string]resolved
	lookups singleflight.Group
}

type resolved struct {
	addresses []netip.Addr
	until     time.Time
}

func newResolver() *resolver {
	return &resolver{lookup: net.DefaultResolver.LookupNetIP, known: make(map[string]resolved)}
}

// resolve returns the addresses of a host, at least one. An address is its own.
func (r *resolver) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address}, nil
	}
	r.mu.Lock()
	known, ok := r.known[host]
	r.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.addresses, nil
	}
	// Whoever asks first may leave before there is an answer, which others wait for as well.
	found := r.lookups.DoChan(host, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), targetTry)
		defer cancel()
		addresses, err := r.lookup(ctx, "ip", host)
		if err == nil {
			r.keep(host, addresses)
		}
		return addresses, err
	})
	select {
	case result := <-found:
		addresses, _ := result.Val.([]netip.Addr)
		return addresses, result.Err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (r *resolver) keep(host string, addresses []netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxResolved {
		clear(r.known)
	}
	r.known[host] = resolved{addresses, time.Now().Add(resolvedFor)}
}

// forget has the next connection to a host look it up.
func (r *resolver) forget(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, host)
}

// dial connects to a host in the cluster, at any of its addresses.
func (r *resolver) dial(ctx context.Context, network, host string, port uint16) (net.Conn, error) {
	addresses, err := r.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: targetTry}
	var failures []error
	for _, address := range inTurn(addresses) {
		conn, err := dialer.DialContext(ctx, network, netip.AddrPortFrom(address, port).String())
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	r.forget(host)
	return nil, errors.Join(failures...)
}

// inTurn returns addresses in the order they are to be tried: those of the family that is preferred, which the first one is
// of, come first, but begin with any of them, so that connections spread.
func inTurn(addresses []netip.Addr) []netip.Addr {
	preferred := slices.IndexFunc(addresses, func(a netip.Addr) bool { return a.Is4() != addresses[0].Is4() })
	if preferred < 0 {
		preferred = len(addresses)
	}
	first := rand.IntN(preferred) //nolint:gosec // which one doesn't matter
	return slices.Concat(addresses[first:preferred], addresses[:first], addresses[preferred:])
}
