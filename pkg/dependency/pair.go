// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"cmp"
	"slices"
)

// reach is how many lines there may be from a host to its port if the keys say nothing but that they are a host and a
// port.
const reach = 3

// pairFields finds the port of each host that a field names, and adds what they mention together.
func (s *scanner) pairFields() {
	type group struct {
		block block
		stem  string
	}
	groups := make(map[group][]*field)
	for i := range s.fields {
		f := &s.fields[i]
		g := group{f.block, f.stem}
		groups[g] = append(groups[g], f)
	}
	// The groups come in any order, but all mentions of a host are of one group.
	for g, fields := range groups {
		if g.block.scope == ofNames {
			s.pairByName(fields)
		} else {
			s.pairByOrder(fields)
		}
	}
}

// pairByName pairs variables, of which several may be the same host's. The ports of X_SERVICE_HOST are all that begin
// with X_SERVICE_PORT.
func (s *scanner) pairByName(fields []*field) {
	for _, host := range fields {
		if host.role != hostRole {
			continue
		}
		var same, other []*field
		for _, port := range fields {
			switch {
			case port.role != portRole || len(port.items) == 0:
			case port.service == host.service:
				same = append(same, port)
			default:
				other = append(other, port)
			}
		}
		if len(same) == 0 && len(other) > 0 {
			same = append(same, slices.MinFunc(other, func(a, b *field) int {
				return cmp.Or(cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
			}))
		}
		if len(same) == 0 {
			s.addPair(host, nil)
		}
		for _, port := range same {
			s.addPair(host, port)
		}
	}
}

// pairByOrder pairs each host with the port right after it, or before it, if that isn't another host's. Which of the two
// is tried first, the first field of all tells.
func (s *scanner) pairByOrder(fields []*field) {
	order := [2]int{1, -1}
	if fields[0].role == portRole {
		order = [2]int{-1, 1}
	}
	taken := make([]bool, len(fields))
	for i, host := range fields {
		if host.role != hostRole {
			continue
		}
		var port *field
		for _, step := range order {
			j := i + step
			if j < 0 || j == len(fields) || taken[j] || fields[j].role != portRole || !near(host, fields[j]) {
				continue
			}
			port, taken[j] = fields[j], true
			break
		}
		s.addPair(host, port)
	}
}

// near reports whether two fields of a block and with the same stem belong together.
func near(a, b *field) bool {
	return a.stem != "" || max(a.line, b.line)-min(a.line, b.line) <= reach
}

// addPair adds what a host's field mentions with a port's: one port for each of its hosts, or one for all. Without a
// port, or with the wrong number of them, the hosts stand alone.
func (s *scanner) addPair(host, port *field) {
	var ports []mention
	if port != nil && (len(port.items) == 1 || len(port.items) == len(host.items)) {
		ports = port.items
	}
	for i, m := range host.items {
		switch {
		case !m.port.isEmpty(): // has one of its own
		case len(ports) > 0:
			p := ports[min(i, len(ports)-1)]
			m.form, m.port, m.number, m.portKey = inPair, p.port, p.number, port.name
			m.hostKey, m.byComma = host.name, len(host.items) > len(ports)
		case m.form == inField && (host.vague || !host.separated):
			continue
		}
		s.mentions = append(s.mentions, m)
	}
}
