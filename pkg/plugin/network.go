// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"net"
	"slices"
)

// network knows the machine's addresses, so that another network is noticed when they change: a connection over the old one
// may go on looking alive for long.
type network struct{ addresses []string }

func newNetwork() *network { return &network{addresses: addresses()} }

// changed reports whether the addresses are others than when it was called last.
func (n *network) changed() bool {
	now := addresses()
	if now == nil || slices.Equal(now, n.addresses) {
		return false
	}
	n.addresses = now
	return true
}

// addresses returns those of the machine, in order, or nil if it doesn't tell.
func addresses() []string {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	all := make([]string, 0, len(found))
	for _, a := range found {
		all = append(all, a.String())
	}
	slices.Sort(all)
	return all
}
