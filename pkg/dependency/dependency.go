// SPDX-License-Identifier: Apache-2.0

// Package dependency finds what a container depends on by reading its configuration, and rewrites that configuration for
// a process that reaches the same dependencies at other addresses. It asks nothing of a cluster: it works on texts
// (variables, arguments, files) and on the Services that the caller has read.
//
// # What is proof
//
// A word that merely equals the name of a Service proves nothing: "orders" is a word of the shop's language before it is
// a host. A [Dependency] is found where a text says that the word is a host:
//
//   - in the authority of a URL: http://orders:8080/, mongodb://u:p@db-0.db,db-1.db/, jdbc:postgresql://db/shop. Without
//     a port, the scheme's own counts if the Service has it, and for a scheme that isn't known the Service's only port.
//     Schemes whose authority is no host, such as s3, are left alone.
//   - as host:port, whether alone, in a list, or as in u:p@tcp(db:3306)/shop, if the port is one of the Service's. So
//     redis:7 is an image and redis:6379 is not. A headless or an ExternalName Service has whatever ports its pods or its
//     target have; for these, other ports count from 1024 on, or after a name with a dot.
//   - in a pair of a host and a port: the variables X_HOST and X_PORT, the words host=db port=5432, or the lines
//     "host: redis" and "port: 6379" of one block of a file, at most three lines apart unless their keys have more than
//     that in common, as redis.host and redis.port have. X_HOSTNAME, X_ADDR, X_SERVICE_HOST and the like count as X_HOST,
//     in any of the usual spellings.
//   - as all that X_HOST says, if there is no X_PORT and the Service has just one port.
//   - as a name that says by itself that it is a cluster's: orders.shop.svc, with or without cluster.local. Without a
//     port, it stands for all ports of the Service.
//
// A port that the Service doesn't have is a mistake in a URL, in a pair or after a name that ends in svc, which the
// dependency's Notes tell; in host:port it is likelier to be no port at all.
//
// A name like db.data.svc is found even if no such Service can be seen, provided that there is a port. Nothing else is
// found of a namespace whose Services are not given; [Namespaces] tells which ones to look for.
//
// mongodb+srv:// and the like ask for SRV records, which a forwarded port can't answer. They are found with a note, and
// never rewritten.
//
// Texts are read as texts, since the same few forms are written in JSON, YAML, TOML, properties, command lines and the
// configuration of most servers. So comments count as well, and what is percent-encoded, base64 or compressed does not.
//
// # What always holds
//
//   - Finding and rewriting read a text with the same scanner and the same rules: whatever is found is rewritten, or said
//     to be a [Gap].
//   - Rewriting changes the hosts and ports of known dependencies and not one other byte.
//   - No password is ever part of what is returned as evidence, and of a secret nothing but host and port.
//   - The time taken grows with the length of the texts, however many Services there are.
package dependency

import (
	"cmp"
	"net"
	"slices"
	"strconv"
)

// Text is a piece of a container's configuration. Names and values of the same Where belong together: of those, one may
// name a host and another its port.
type Text struct {
	// Where it stands, such as environment, args or configmap/app.
	Where string
	// Name of the variable, key or file; empty for an argument.
	Name string
	// Value is all that it says, with references to other variables already expanded.
	Value string
	// Secret values are kept out of what is returned, but for hosts and ports.
	Secret bool
	// ServiceLink marks the variables that Kubernetes itself adds for every Service of a namespace. They are no evidence
	// of anything, and are rewritten if the Service is a dependency.
	ServiceLink bool
}

// Protocol is what a port speaks. Others than these can't be forwarded.
type Protocol string

// The protocols of a [Port].
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Dependency is one port of a host in the cluster that a process dials.
type Dependency struct {
	// Host is the shortest of Names, in lower case and without a trailing dot.
	Host string
	// Names are all hosts that were found to mean the same, Host first.
	Names []string
	// Namespace and Service are empty for a host that is no Service.
	Namespace, Service string
	// Pod is the host name of one pod of a headless Service, if it is meant.
	Pod      string
	Port     uint16
	Protocol Protocol
	// Evidence is where it was found, in the order of the texts.
	Evidence []Evidence
	// Notes are what looks wrong about it, for people.
	Notes []string
}

// Evidence is a place that names a dependency.
type Evidence struct {
	// Where and Name are those of the Text.
	Where, Name string
	// Excerpt is what is said there, without passwords, and for secrets just host:port.
	Excerpt string
}

// endpoint is what makes two dependencies the same.
type endpoint struct {
	destination
	port     uint16
	protocol Protocol
}

func (d *Dependency) endpoint() endpoint {
	e := endpoint{destination{namespace: d.Namespace, service: d.Service, pod: d.Pod}, d.Port, d.Protocol}
	if d.Service == "" {
		e.host = d.Host
	}
	return e
}

// Merge returns the dependencies of all lists in order of namespace, Service, pod, host and port, and each of them once
// with all of its names, evidence and notes.
func Merge(lists ...[]Dependency) []Dependency {
	var all collection
	for _, list := range lists {
		for _, d := range list {
			all.add(d)
		}
	}
	return all.sorted()
}

// collection gathers what is said of the same dependencies in different places.
type collection struct {
	list []Dependency
	at   map[endpoint]int
	seen map[finding]bool
}

type finding struct {
	dependency int
	evidence   Evidence
}

func (c *collection) add(d Dependency) {
	if c.at == nil {
		c.at, c.seen = make(map[endpoint]int), make(map[finding]bool)
	}
	i, known := c.at[d.endpoint()]
	if !known {
		i = len(c.list)
		c.at[d.endpoint()] = i
		c.list = append(c.list, Dependency{
			Namespace: d.Namespace, Service: d.Service, Pod: d.Pod, Port: d.Port, Protocol: d.Protocol,
		})
	}
	to := &c.list[i]
	to.Names = appendNew(to.Names, d.Names)
	to.Notes = appendNew(to.Notes, d.Notes)
	for _, e := range d.Evidence {
		// One text may hold any number of these.
		if f := (finding{i, e}); !c.seen[f] {
			c.seen[f] = true
			to.Evidence = append(to.Evidence, e)
		}
	}
}

// appendNew appends what isn't there yet. A dependency has a handful of names, and fewer notes.
func appendNew(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

func (c *collection) sorted() []Dependency {
	for i := range c.list {
		names := c.list[i].Names
		slices.SortFunc(names, compareNames)
		c.list[i].Host = names[0]
	}
	slices.SortFunc(c.list, func(a, b Dependency) int {
		return cmp.Or(
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Pod, b.Pod),
			cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol))
	})
	return c.list
}

// compareNames puts the name first that people would call a host by: a short one, and no address.
func compareNames(a, b string) int {
	rank := func(name string) int {
		if isAddress(name) {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// hostPort writes host:port, with brackets where an IPv6 address needs them.
func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
