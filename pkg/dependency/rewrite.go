// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Forward is a dependency with the address at which it is reached instead.
type Forward struct {
	Dependency Dependency
	// Host is a name or an IP address, without brackets. What names a Service without a port can only be rewritten if all
	// ports of the Service have the same Host, and keep their numbers or are just one.
	Host string
	Port uint16
}

// Gap is a place that names a dependency and could not be rewritten.
type Gap struct {
	// Where and Name are those of the Text.
	Where, Name string
	// Host is the dependency's, as in the text, and Reason why it is still there.
	Host, Reason string
}

// Rewriter replaces the hosts and ports of dependencies in texts. It does so wherever [Find] would see them, and where it
// would see them but for what proves nothing yet: what is dialled has been proven elsewhere, or said by somebody.
type Rewriter struct {
	index    *index
	forwards map[destination][]Forward
}

// NewRewriter returns a Rewriter for dependencies on the given Services, or on hosts that are none.
func NewRewriter(services Services, forwards []Forward) *Rewriter {
	r := &Rewriter{index: newIndex(services), forwards: make(map[destination][]Forward)}
	for _, f := range forwards {
		d := f.Dependency
		to := d.endpoint().destination
		r.forwards[to] = append(r.forwards[to], f)
		if d.Service != "" {
			continue
		}
		for _, name := range d.Names {
			r.index.asked[name] = &Service{}
		}
	}
	return r
}

// Rewrite returns the values of the texts, in their order, and the places where it left a dependency's name.
func (r *Rewriter) Rewrite(texts []Text) ([]string, []Gap) {
	e := edits{texts: texts, hosts: make(map[span]string), ports: make(map[span][]uint16)}
	for _, m := range scan(texts) {
		to, reason := r.decide(m, texts)
		if to != nil && reason == "" {
			reason = e.move(m, *to)
		}
		if to == nil || reason != "" {
			e.keep(m)
		}
		if reason != "" {
			text := texts[m.host.text]
			e.gaps = append(e.gaps, Gap{Where: text.Where, Name: text.Name, Host: canonical(m.written(texts)), Reason: reason})
		}
	}
	return e.apply(), e.gaps
}

// decide returns where a mention of a dependency is to lead, or why it can't. It returns neither for what is none.
func (r *Rewriter) decide(m mention, texts []Text) (to *Forward, reason string) {
	h, ok := r.index.lookup(m.written(texts))
	if !ok {
		return nil, ""
	}
	number := m.number
	if only, ok := h.service.onlyPort(); ok && number == 0 {
		number = only
	}
	sameHost, samePorts := true, true
	for i := range r.forwards[h.destination] {
		f := &r.forwards[h.destination][i]
		if number != 0 && f.Dependency.Port != number {
			continue
		}
		if to == nil {
			to = f
		}
		sameHost = sameHost && f.Host == to.Host && (number == 0 || f.Port == to.Port)
		samePorts = samePorts && f.Port == f.Dependency.Port
	}
	takesPort := !m.port.isEmpty() || m.form == inURL && number != 0
	switch {
	case to == nil:
		return nil, ""
	case m.srv:
		return nil, "its SRV records can't be forwarded"
	case !sameHost:
		return nil, "its ports are forwarded from different addresses, and it has to be one"
	case !samePorts && !takesPort:
		// Better a name that doesn't resolve than a port where something else may listen.
		return nil, fmt.Sprintf("there is no port to rewrite, and port %d is forwarded from %d", to.Dependency.Port, to.Port)
	}
	return to, ""
}

// edits are what is to be changed in texts.
type edits struct {
	texts []Text
	hosts map[span]string
	// ports has one port for each of the hosts that share what is written once.
	ports map[span][]uint16
	gaps  []Gap
}

// move makes a mention lead to where a dependency is forwarded from, or says why it can't be made to.
func (e *edits) move(m mention, to Forward) (reason string) {
	written := m.written(e.texts)
	host := to.Host
	inBrackets := !m.lead.isEmpty() || m.form == withPort || strings.HasPrefix(written, "[")
	switch {
	case host == canonical(written):
		host = written
	case inBrackets && strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	if m.port.isEmpty() && to.Port != to.Dependency.Port {
		host += ":" + strconv.Itoa(int(to.Port))
	}
	if already, ok := e.hosts[m.host]; ok && already != host {
		return "its ports are forwarded from different addresses, and it has to be one"
	}
	if shared := e.ports[m.port]; len(shared) > 0 && !m.byComma && shared[0] != to.Port {
		return "its port is that of another host, too, which is forwarded from another"
	}
	e.hosts[m.host] = host
	if !m.port.isEmpty() {
		e.ports[m.port] = append(e.ports[m.port], to.Port)
	}
	return ""
}

// keep leaves a mention as it is, even if the port that it shares with other hosts has to become several.
func (e *edits) keep(m mention) {
	if m.byComma {
		e.ports[m.port] = append(e.ports[m.port], m.number)
	}
}

// apply returns the edited values.
func (e *edits) apply() []string {
	type edit struct {
		span
		text string
	}
	all := make([]edit, 0, len(e.hosts)+len(e.ports))
	for s, host := range e.hosts {
		all = append(all, edit{s, host})
	}
	for s, ports := range e.ports {
		all = append(all, edit{s, joinPorts(ports)})
	}
	slices.SortFunc(all, func(a, b edit) int {
		return cmp.Or(cmp.Compare(a.span.text, b.span.text), cmp.Compare(a.start, b.start))
	})
	values := make([]string, len(e.texts))
	for i, text := range e.texts {
		var value strings.Builder
		at := 0
		for ; len(all) > 0 && all[0].span.text == i; all = all[1:] {
			value.WriteString(text.Value[at:all[0].start])
			value.WriteString(all[0].text)
			at = all[0].end
		}
		value.WriteString(text.Value[at:])
		values[i] = value.String()
	}
	return values
}

// joinPorts writes the ports of several hosts once if they are all the same.
func joinPorts(ports []uint16) string {
	if !slices.ContainsFunc(ports, func(p uint16) bool { return p != ports[0] }) {
		ports = ports[:1]
	}
	list := make([]string, len(ports))
	for i, port := range ports {
		list[i] = strconv.Itoa(int(port))
	}
	return strings.Join(list, ",")
}
