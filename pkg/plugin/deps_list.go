// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/kubectl-velo/kubectl-velo/pkg/dependency"
	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
)

// DependencyList is what kubectl velo deps prints with -o json or yaml. Its field names are interface.
type DependencyList struct {
	metav1.TypeMeta `json:",inline"`

	Items []Dependency `json:"items"`
}

// Dependency is one port of a host in the cluster that a session forwards, or would. It is a document of its own with
// --watch.
type Dependency struct {
	metav1.TypeMeta `json:",inline"`

	// Name is the host that the configuration calls it by: orders, db.data, pod-0.db.
	Name string `json:"name"`
	// Namespace is its Service's; it is missing for a host that is no Service.
	Namespace string `json:"namespace,omitempty"`
	Port      uint16 `json:"port"`
	// Protocol is tcp or udp.
	Protocol string `json:"protocol"`
	// Evidence is where it was found and what is said there, as WHERE:NAME (EXCERPT).
	Evidence []string `json:"evidence,omitempty"`
	// Notes are what looks wrong about it, for people.
	Notes []string `json:"notes,omitempty"`

	// What follows is there for a dependency of a running session only.

	// Session is the ID of the session that forwards it, and Target the session's Service or workload, as TYPE/NAME.
	Session string `json:"session,omitempty"`
	Target  string `json:"target,omitempty"`
	// Local is the address on this machine that leads to it, as IP:PORT.
	Local string `json:"local,omitempty"`
	// State is ready, waiting or failed; with --watch also ended, when it is not forwarded any more. Reason is for people.
	State  livesession.State `json:"state,omitempty"`
	Reason string            `json:"reason,omitempty"`
	// Connections is how many are open; BytesSent went to the dependency and BytesReceived came from it, in bytes, since
	// the session began.
	Connections   *int64 `json:"connections,omitempty"`
	BytesSent     *int64 `json:"bytesSent,omitempty"`
	BytesReceived *int64 `json:"bytesReceived,omitempty"`
	// RoundTripMicros is how long a round trip to it took last, in microseconds. It is missing if that was never measured.
	RoundTripMicros int64 `json:"roundTripMicros,omitempty"`
}

// stateEnded is the state of a dependency that is not forwarded any more.
const stateEnded livesession.State = "ended"

func newDependencyList(size int) *DependencyList {
	list := &DependencyList{Items: make([]Dependency, 0, size)}
	list.SetGroupVersionKind(outputGroup.WithKind("DependencyList"))
	return list
}

// DeepCopyObject makes DependencyList a runtime.Object, which the printers want.
func (l *DependencyList) DeepCopyObject() runtime.Object {
	dup := &DependencyList{TypeMeta: l.TypeMeta, Items: slices.Clone(l.Items)}
	for i := range dup.Items {
		dup.Items[i].ownFields()
	}
	return dup
}

// DeepCopyObject makes Dependency a runtime.Object, which the printers want.
func (d *Dependency) DeepCopyObject() runtime.Object {
	dup := *d
	dup.ownFields()
	return &dup
}

// ownFields replaces what a copy shares with its original.
func (d *Dependency) ownFields() {
	d.Evidence, d.Notes = slices.Clone(d.Evidence), slices.Clone(d.Notes)
	for _, number := range []**int64{&d.Connections, &d.BytesSent, &d.BytesReceived} {
		if *number != nil {
			*number = new(**number)
		}
	}
}

// sessionDependency is a dependency that was found, as a session tells of it: without a local address and a state yet.
func sessionDependency(d *dependency.Dependency) livesession.Dependency {
	s := livesession.Dependency{
		Name: d.Host, Namespace: d.Namespace, Port: d.Port, Protocol: string(d.Protocol), Notes: slices.Clone(d.Notes),
	}
	for _, e := range d.Evidence {
		place := e.Where
		if e.Name != "" {
			place += ":" + e.Name
		}
		if e.Excerpt != "" {
			place += " (" + e.Excerpt + ")"
		}
		s.Evidence = append(s.Evidence, place)
	}
	return s
}

func listedFound(d *dependency.Dependency) Dependency {
	s := sessionDependency(d)
	return Dependency{
		Name: s.Name, Namespace: s.Namespace, Port: s.Port, Protocol: s.Protocol, Evidence: s.Evidence, Notes: s.Notes,
	}
}

func listedRunning(s *livesession.Session, d *livesession.Dependency) Dependency {
	return Dependency{
		Name: d.Name, Namespace: d.Namespace, Port: d.Port, Protocol: d.Protocol, Evidence: d.Evidence, Notes: d.Notes,
		Session: s.ID, Target: s.Name, Local: d.Local, State: d.State, Reason: d.Reason,
		Connections: new(d.Connections), BytesSent: new(d.BytesSent), BytesReceived: new(d.BytesReceived),
		RoundTripMicros: d.RoundTripMicros,
	}
}

// hostPort names a dependency as --dep and --no-dep do.
func (d *Dependency) hostPort() string { return net.JoinHostPort(d.Name, strconv.Itoa(int(d.Port))) }

// dependencyPrinter prints dependencies in the format that was asked for.
type dependencyPrinter struct {
	streams   genericiooptions.IOStreams
	output    string
	namespace bool // a column of its own at the beginning
	objects   printers.ResourcePrinter
	// tables are written to it when there are several, whose columns are to be in line.
	aligned interface {
		io.Writer
		Flush() error
	}
}

func (o *depsOptions) printer() *dependencyPrinter {
	p := &dependencyPrinter{streams: o.streams, output: o.output, namespace: o.allNamespaces}
	switch o.output {
	case "json":
		p.objects = &printers.JSONPrinter{}
	case "yaml":
		p.objects = &printers.YAMLPrinter{}
	default:
		p.objects = printers.NewTablePrinter(printers.PrintOptions{Wide: o.output == "wide", NoHeaders: o.noHeaders})
	}
	return p
}

// list prints all at once.
func (p *dependencyPrinter) list(list *DependencyList) error {
	switch p.output {
	case "name":
		return p.printNames(list.Items)
	case "json", "yaml":
		return p.objects.PrintObj(list, p.streams.Out)
	}
	return p.objects.PrintObj(p.table(list.Items), p.streams.Out)
}

// changes prints what has changed. It is called again and again.
func (p *dependencyPrinter) changes(items []Dependency) error {
	switch p.output {
	case "name":
		return p.printNames(items)
	case "json", "yaml":
		for i := range items {
			item := &items[i]
			item.SetGroupVersionKind(outputGroup.WithKind("Dependency"))
			if err := p.objects.PrintObj(item, p.streams.Out); err != nil {
				return err
			}
		}
		return nil
	}
	if len(items) == 0 {
		return nil
	}
	if p.aligned == nil {
		p.aligned = printers.GetNewTabWriter(p.streams.Out)
	}
	if err := p.objects.PrintObj(p.table(items), p.aligned); err != nil {
		return err
	}
	return p.aligned.Flush()
}

// printNames leaves out a protocol that differs alone.
func (p *dependencyPrinter) printNames(items []Dependency) error {
	last := ""
	for i := range items {
		name := items[i].hostPort()
		if name == last {
			continue
		}
		last = name
		if _, err := fmt.Fprintln(p.streams.Out, name); err != nil {
			return err
		}
	}
	return nil
}

// shown is what a reader sees of a dependency, but for the round-trip time, which is never the same twice.
func (p *dependencyPrinter) shown(d *Dependency) string {
	without := *d
	without.RoundTripMicros = 0
	if p.output == "json" || p.output == "yaml" {
		data, err := json.Marshal(&without)
		if err != nil {
			panic(err) // its fields are texts and numbers
		}
		return string(data)
	}
	if p.output == "name" {
		return d.hostPort() + string(d.State)
	}
	return fmt.Sprintf("%q", p.table([]Dependency{without}).Rows[0].Cells)
}

func (p *dependencyPrinter) table(items []Dependency) *metav1.Table {
	const wideOnly = 1 // the printer leaves columns of a priority above 0 out, but for -o wide
	wide := p.output == "wide"
	table := &metav1.Table{ColumnDefinitions: []metav1.TableColumnDefinition{
		{Name: "Name", Type: "string"},
		{Name: "Port", Type: "integer"},
		{Name: "Protocol", Type: "string"},
		{Name: "Local", Type: "string"},
		{Name: "State", Type: "string"},
		{Name: "Open", Type: "string"},
		{Name: "Sent", Type: "string"},
		{Name: "Received", Type: "string"},
		{Name: "RTT", Type: "string"},
		{Name: "Session", Type: "string", Priority: wideOnly},
		{Name: "Target", Type: "string", Priority: wideOnly},
		{Name: "Reason", Type: "string", Priority: wideOnly},
		{Name: "Found in", Type: "string"},
	}}
	namespace := metav1.TableColumnDefinition{Name: "Namespace", Type: "string", Priority: wideOnly}
	at := slices.IndexFunc(table.ColumnDefinitions, func(c metav1.TableColumnDefinition) bool { return c.Name == "Session" })
	if p.namespace {
		namespace.Priority, at = 0, 0
	}
	table.ColumnDefinitions = slices.Insert(table.ColumnDefinitions, at, namespace)
	for i := range items {
		d := &items[i]
		cells := []any{
			d.Name, d.Port, d.Protocol, orNone(d.Local), orNone(string(d.State)),
			counted(d.Connections, func(n int64) string { return strconv.FormatInt(n, 10) }),
			counted(d.BytesSent, size), counted(d.BytesReceived, size), roundTrip(d.RoundTripMicros),
			orNone(d.Session), orNone(d.Target), orNone(d.why()), orNone(d.foundIn(wide)),
		}
		table.Rows = append(table.Rows, metav1.TableRow{Cells: slices.Insert(cells, at, any(orNone(d.Namespace)))})
	}
	return table
}

// why is the reason of the state, and what looks wrong.
func (d *Dependency) why() string {
	all := d.Notes
	if d.Reason != "" {
		all = append([]string{d.Reason}, all...)
	}
	return strings.Join(all, "; ")
}

// foundIn is all of the evidence, or just the first place and how many more there are.
func (d *Dependency) foundIn(all bool) string {
	if all {
		return strings.Join(d.Evidence, ", ")
	}
	var places []string
	for _, evidence := range d.Evidence {
		place, _, _ := strings.Cut(evidence, " (")
		if !slices.Contains(places, place) {
			places = append(places, place)
		}
	}
	switch len(places) {
	case 0:
		return ""
	case 1:
		return places[0]
	}
	return fmt.Sprintf("%s +%d", places[0], len(places)-1)
}

// orNone is what a cell says: kubectl has nothing for nothing, but then columns can't be told apart.
func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func counted(n *int64, format func(int64) string) string {
	if n == nil {
		return "-"
	}
	return format(*n)
}

// size writes a number of bytes for people, rounded down to two digits or to a whole number of its unit: 900B, 1.5Ki, 20Mi.
func size(n int64) string {
	const (
		base  = 1024
		short = 10 // below which there is one decimal
	)
	if n < base {
		return strconv.FormatInt(n, 10) + "B"
	}
	units := []string{"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	unit := 0
	for ; n >= base*base; unit++ {
		n /= base
	}
	n, rest := n/base, n%base
	if n < short {
		return fmt.Sprintf("%d.%d%s", n, rest*10/base, units[unit])
	}
	return strconv.FormatInt(n, 10) + units[unit]
}

// roundTrip writes a number of microseconds for people, rounded down: 0.4ms, 12ms, 1.2s.
func roundTrip(micros int64) string {
	d := time.Duration(micros) * time.Microsecond
	switch {
	case micros <= 0:
		return "-"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1fms", max(d.Truncate(100*time.Microsecond), 100*time.Microsecond).Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
}
