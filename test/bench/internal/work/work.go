// SPDX-License-Identifier: Apache-2.0

// Package work is what every way is measured with.
package work

import (
	"context"
	"math"
	"slices"
	"time"
)

// A Sample is what one round of a work came to.
type Sample struct {
	// Figures by name, in the units of their [Figure].
	Figures map[string]float64 `json:"figures,omitempty"`
	// Errors is how many requests failed, beside those that the figures are of.
	Errors int `json:"errors,omitempty"`
	// By is who answered, if that was asked.
	By string `json:"by,omitempty"`
}

// A Caller is who calls and whom.
type Caller struct {
	URL  string // of the server's root, without a slash at its end
	Host string // header, if it is another than the URL's
	// Memory tells how many bytes the program on the laptop and the one in the cluster take; nil if there are none.
	Memory func() (laptop, cluster int64, err error)
	// Held is called, if it is there, while connections are held that do nothing, after Memory.
	Held func(context.Context)
}

// A Unit is what a figure counts.
type Unit string

// Units of figures.
const (
	PerSecond      Unit = "requests/s"
	BytesPerSecond Unit = "bytes/s"
	Seconds        Unit = "s"
	Bytes          Unit = "bytes"
)

// A Figure is one of the things that a work measures.
type Figure struct {
	Name string `json:"name"`
	Unit Unit   `json:"unit"`
	// Absolute figures can be near nothing: ratios of them say nothing.
	Absolute bool `json:"absolute,omitempty"`
}

// More tells whether more is better.
func (f Figure) More() bool { return f.Unit == PerSecond || f.Unit == BytesPerSecond }

// Names of figures.
const (
	Rate     = "rate"
	P50      = "p50"
	P99      = "p99"
	IdleP50  = "idle p50"
	IdleP99  = "idle p99"
	AddedP50 = "added p50"
	AddedP99 = "added p99"
	Laptop   = "laptop"
	Cluster  = "cluster"
)

// Sizes are how much of everything is done.
type Sizes struct {
	Wrk      time.Duration `json:"wrk"`      // of each run of wrk
	Transfer int64         `json:"transfer"` // bytes of a download and an upload
	Each     int64         `json:"each"`     // bytes of each of four downloads
	Limit    time.Duration `json:"limit"`    // of a transfer, after which what has come counts
	Probe    time.Duration `json:"probe"`    // of small requests, alone and beside a download
	Fresh    int           `json:"fresh"`    // requests on new connections
	Idle     int           `json:"idle"`     // connections that do nothing
}

// A Work is one of the things that are done through every way.
type Work struct {
	Name    string
	Title   string
	Figures []Figure
	// Afresh is for a work that needs a way which has done nothing yet: memory once used is not given back at once.
	Afresh bool
	// wrk are the arguments of wrk, for what wrk does.
	wrk func(Caller, Sizes) []string
	// load is what the benchmark's own client does, for all else.
	load func(Sizes) Load
}

// Names of the works.
const (
	KeepAlive10   = "keepalive-10"
	KeepAlive50   = "keepalive-50"
	Connections   = "connections"
	NewConnection = "new-connection"
	Download      = "download"
	Upload        = "upload"
	Downloads4    = "downloads-4"
	Latency       = "latency"
	Idle          = "idle"
)

// All is every work, in the order in which they are done.
func All() []Work {
	wrkFigures := []Figure{{Rate, PerSecond, false}, {P50, Seconds, false}, {P99, Seconds, false}}
	rate := []Figure{{Rate, BytesPerSecond, false}}
	wrk := func(connections int, header string) func(Caller, Sizes) []string {
		return func(c Caller, s Sizes) []string { return wrkArgs(c, connections, s.Wrk, header) }
	}
	return []Work{
		{
			Name: Idle, Title: "an idle connection's memory", Afresh: true,
			Figures: []Figure{{Laptop, Bytes, true}, {Cluster, Bytes, true}},
			load:    func(s Sizes) Load { return Load{Kind: kindIdle, Count: s.Idle} },
		},
		{
			Name: KeepAlive10, Title: "keep-alive, 10 connections", Figures: wrkFigures,
			wrk: wrk(10, ""),
		},
		{
			Name: KeepAlive50, Title: "keep-alive, 50 connections", Figures: wrkFigures,
			wrk: wrk(50, ""),
		},
		{
			Name: Connections, Title: "a connection per request, 10 at once", Figures: wrkFigures,
			wrk: wrk(10, "Connection: close"),
		},
		{
			Name: NewConnection, Title: "one request on a new connection",
			Figures: []Figure{{P50, Seconds, false}},
			load:    func(s Sizes) Load { return Load{Kind: kindFresh, Count: s.Fresh} },
		},
		{
			Name: Download, Title: "one download", Figures: rate,
			load: func(s Sizes) Load { return Load{Kind: kindDownload, Count: 1, Bytes: s.Transfer, For: s.Limit} },
		},
		{
			Name: Upload, Title: "one upload", Figures: rate,
			load: func(s Sizes) Load { return Load{Kind: kindUpload, Bytes: s.Transfer, For: s.Limit} },
		},
		{
			Name: Downloads4, Title: "four downloads at once", Figures: rate,
			load: func(s Sizes) Load { return Load{Kind: kindDownload, Count: 4, Bytes: s.Each, For: s.Limit} },
		},
		{
			Name: Latency, Title: "small requests during a download",
			Figures: []Figure{
				{AddedP50, Seconds, true},
				{AddedP99, Seconds, true},
				{IdleP50, Seconds, false},
				{IdleP99, Seconds, false},
			},
			load: func(s Sizes) Load { return Load{Kind: kindLatency, Bytes: s.Transfer, For: s.Probe} },
		},
	}
}

// Find finds a work by its name.
func Find(name string) (w Work, ok bool) {
	all := All()
	at := slices.IndexFunc(all, func(w Work) bool { return w.Name == name })
	if at < 0 {
		return Work{}, false
	}
	return all[at], true
}

// Figure finds a figure of the work by its name.
func (w Work) Figure(name string) (f Figure, ok bool) {
	at := slices.IndexFunc(w.Figures, func(f Figure) bool { return f.Name == name })
	if at < 0 {
		return Figure{}, false
	}
	return w.Figures[at], true
}

// Quantile is the smallest of the values that a share q of them is not above. There must be one.
func Quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}
