// SPDX-License-Identifier: Apache-2.0

// Package result is what a run of the benchmark came to: every sample of every round, and the machine it ran on. All
// that is shown is computed from that.
package result

import (
	"slices"
	"strconv"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/wan"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// A Run is one run.
type Run struct {
	Command string        `json:"command"`
	Began   time.Time     `json:"began"`
	Took    time.Duration `json:"took"`
	Quick   bool          `json:"quick,omitempty"`
	Rounds  int           `json:"rounds"`
	Sizes   work.Sizes    `json:"sizes"` // where a line has no sizes of its own
	Machine Machine       `json:"machine"`
	// Ways and Works that were measured, in order.
	Ways  []Name `json:"ways"`
	Works []Name `json:"works"`
	// LeftOut are ways that were not, and why.
	LeftOut []Name `json:"leftOut,omitempty"`
	Lines   []Line `json:"lines"`
}

// A Name is what something is called in options, and what it is.
type Name struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}

// Machine is what is known about where the run took place.
type Machine struct {
	Processor  string            `json:"processor"`
	Processors int               `json:"processors"`
	Memory     int64             `json:"memory"` // bytes
	Kernel     string            `json:"kernel"`
	Congestion string            `json:"congestion"` // TCP's congestion control
	SendBuffer int64             `json:"sendBuffer"` // the most that TCP takes, in bytes
	Load       float64           `json:"load"`       // average of the minute before
	Versions   map[string]string `json:"versions"`
}

// A Line is what was measured over one.
type Line struct {
	Name  string        `json:"name"`
	RTT   time.Duration `json:"rtt"`
	Loss  float64       `json:"loss,omitempty"` // of each direction, 0 to 1
	Rate  int64         `json:"rate,omitempty"` // bytes per second, 0 is no limit
	Sizes work.Sizes    `json:"sizes"`
	// Carried is what the emulator did, to the laptop's packets and to the cluster's; nil for a cable.
	Carried *[2]wan.Counts `json:"carried,omitempty"`
	Samples []Sample       `json:"samples"`
	// Reopened counts by way how often it had ended by itself.
	Reopened map[string]int `json:"reopened,omitempty"`
}

// LineName is what a line is called: its round trip, and its loss.
func LineName(rtt time.Duration, loss float64) string {
	name := "RTT " + strconv.FormatFloat(rtt.Seconds()*1000, 'g', 4, 64) + " ms"
	if loss > 0 {
		name += ", " + strconv.FormatFloat(loss*100, 'g', 3, 64) + " % loss"
	}
	return name
}

// Did tells whether a work was done over the line.
func (l Line) Did(name string) bool {
	return slices.ContainsFunc(l.Samples, func(s Sample) bool { return s.Work == name })
}

// Busy tells whether the machine had other things to do before the run.
func (m Machine) Busy() bool { return m.Load > float64(m.Processors) }

// A Sample is what one round of one work through one way came to.
type Sample struct {
	Round int    `json:"round"`
	Work  string `json:"work"`
	Way   string `json:"way"`
	work.Sample
	Failed string `json:"failed,omitempty"` // why there are no figures
	// Late is how late the emulator was at worst meanwhile.
	Late time.Duration `json:"late,omitempty"`
	// Repeated is how often the sample was taken again, because the emulator was too late.
	Repeated int `json:"repeated,omitempty"`
}
