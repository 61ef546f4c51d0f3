// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// wrap breaks a text into lines that are read well in the page's source too.
func wrap(s string) string {
	const width = 120
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(s) {
		length := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+length > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += length
	}
	return b.String() + "\n"
}

// Markdown writes the whole as a page. Plot is the name of the plot's file beside it.
func Markdown(w io.Writer, r *result.Run, plot string) error {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\n<!-- Written by test/bench; edits are lost. -->\n\n")
	fmt.Fprintf(&b, "    %s\n\n", r.Command)
	intro(&b, r)
	fmt.Fprintf(&b, "\n![How every way compares with the direct one](%s)\n", plot)
	targets(&b, r)
	for i := range r.Lines {
		line(&b, r, &r.Lines[i])
	}
	method(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func intro(b *strings.Builder, r *result.Run) {
	kind := ""
	if r.Quick {
		kind = "A quick run, which does less of everything. "
	}
	b.WriteString(wrap(fmt.Sprintf("%sMeasured on %s in %s: up to %d rounds, each of every work through every way in turn. "+
		"Everything shares one machine, so **only what was measured in the same run can be compared**. Beside each "+
		"median stand its least and most, and below it how it compares with the direct way to the ClusterIP and with "+
		"kubectl port-forward: the median of the ratios within each round.%s",
		kind, r.Began.UTC().Format(time.DateOnly), duration(r.Took), r.Rounds, busy(r))))
	b.WriteString("\n| way | is |\n|---|---|\n")
	for _, w := range r.Ways {
		fmt.Fprintf(b, "| %s | %s |\n", w.Name, w.Title)
	}
	for _, w := range r.LeftOut {
		fmt.Fprintf(b, "| %s | %s: not available in this build, not measured |\n", w.Name, w.Title)
	}
	m := r.Machine
	versions := make([]string, 0, len(m.Versions))
	for _, name := range slices.Sorted(maps.Keys(m.Versions)) {
		versions = append(versions, name+" "+strings.TrimPrefix(m.Versions[name], "go"))
	}
	b.WriteString("\n" + wrap(fmt.Sprintf("Machine: %d × %s, %s GiB of memory, Linux %s, load %s before the run. "+
		"TCP: %s, send buffers of up to %s. Versions: %s.",
		m.Processors, m.Processor, number(float64(m.Memory)/(1<<30)), m.Kernel, number(m.Load), m.Congestion, size(m.SendBuffer), strings.Join(versions, ", "))))
}

// busy says what a machine with other things to do does to a run.
func busy(r *result.Run) string {
	if !r.Machine.Busy() {
		return ""
	}
	return " **The machine had other things to do**, so that even ratios say little."
}

func verdicts() map[result.Verdict]string {
	return map[result.Verdict]string{
		result.NotMeasured: "not measured",
		result.NotReached:  "✗ not reached",
		result.Reached:     "✔ reached",
		result.AimReached:  "✔ aim reached",
	}
}

func targets(b *strings.Builder, r *result.Run) {
	judged := r.Judge()
	if len(judged) == 0 {
		return
	}
	b.WriteString("\n## Targets\n\n| line | work | way | measured | has to be | aim | |\n|---|---|---|---|---|---|---|\n")
	for _, j := range judged {
		w, _ := work.Find(j.Target.Work)
		f, _ := w.Figure(j.Target.Figure)
		measured := "–"
		if j.Verdict != result.NotMeasured {
			measured = value(j, f)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n",
			result.LineName(j.Target.RTT, j.Target.Loss), title(w, f), j.Way, measured,
			bound(j.Target, f, j.Target.Bound), bound(j.Target, f, j.Target.Aim), verdicts()[j.Verdict])
	}
}

func value(j result.Judgement, f work.Figure) string {
	if j.Target.Base != "" {
		return ratioSpread(j.Value)
	}
	factor, unit := scale(f.Unit)
	return spread(j.Value, factor) + " " + unit
}

// bound is a target in words: at least or at most so much.
func bound(t result.Target, f work.Figure, v float64) string {
	if v == 0 {
		return ""
	}
	sign := "≤"
	if f.More() {
		sign = "≥"
	}
	if t.Base != "" {
		return fmt.Sprintf("%s %s × %s", sign, number(v), t.Base)
	}
	factor, unit := scale(f.Unit)
	return sign + " " + number(v*factor) + " " + unit
}

func title(w work.Work, f work.Figure) string {
	if len(w.Figures) == 1 {
		return w.Title
	}
	return w.Title + ", " + f.Name
}

func line(b *strings.Builder, r *result.Run, l *result.Line) {
	fmt.Fprintf(b, "\n## %s\n\n", l.Name)
	b.WriteString(wrap(sizes(l)) + "\n")
	if l.Carried != nil {
		there, back := l.Carried[0], l.Carried[1]
		sum := there
		sum.Add(back)
		b.WriteString(wrap(fmt.Sprintf("The emulator carried %s packets, lost %s by chance and %s by full queues, and was "+
			"%s late on average, %s at worst%s.",
			number(float64(sum.Carried)), number(float64(sum.Lost)), number(float64(sum.Dropped)),
			late(sum.Late, sum.Carried), sum.Latest.Round(100*time.Microsecond), repeated(l))) + "\n")
	}
	b.WriteString("| work | |")
	for _, w := range r.Ways {
		fmt.Fprintf(b, " %s |", w.Name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(r.Ways)) + "\n")
	for _, name := range r.Works {
		w, ok := work.Find(name.Name)
		if !ok || !l.Did(w.Name) {
			continue
		}
		for _, f := range w.Figures {
			factor, unit := scale(f.Unit)
			fmt.Fprintf(b, "| %s | %s |", title(w, f), unit)
			for _, way := range r.Ways {
				fmt.Fprintf(b, " %s |", cell(l, w, f, way.Name, factor))
			}
			b.WriteString("\n")
		}
	}
	for _, way := range slices.Sorted(maps.Keys(l.Reopened)) {
		fmt.Fprintf(b, "\n%s ended by itself %d times and was opened again.\n", way, l.Reopened[way])
	}
}

func late(sum time.Duration, packets int64) string {
	if packets == 0 {
		return "never"
	}
	return (sum / time.Duration(packets)).Round(time.Microsecond).String()
}

// cell is a figure through a way: what it is, how it compares, what went wrong.
func cell(l *result.Line, w work.Work, f work.Figure, way string, factor float64) string {
	s, ok := l.Figure(w.Name, way, f.Name)
	requests, rounds := l.Errors(w.Name, way)
	var parts []string
	if ok {
		parts = append(parts, spread(s, factor))
		var ratios []string
		for _, base := range []string{direct, kubectl} {
			if c := compared(l, w, f, way, base); c != "" {
				ratios = append(ratios, c+" "+base)
			}
		}
		if len(ratios) > 0 {
			parts = append(parts, strings.Join(ratios, ", "))
		}
	} else {
		parts = append(parts, "–")
	}
	if requests > 0 {
		parts = append(parts, fmt.Sprintf("⚠ %s errors", number(float64(requests))))
	}
	if rounds > 0 {
		parts = append(parts, "⚠ "+failedRounds(rounds))
	}
	return strings.Join(parts, "<br>")
}

func failedRounds(n int) string {
	if n == 1 {
		return "1 round failed"
	}
	return fmt.Sprintf("%d rounds failed", n)
}

// repeated says how often the emulator was too late for what was measured meanwhile.
func repeated(l *result.Line) string {
	n := 0
	for _, s := range l.Samples {
		n += s.Repeated
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; samples taken again because it was too late: %s", number(float64(n)))
}

// sizes says how much was done of what was done.
func sizes(l *result.Line) string {
	s := l.Sizes
	var parts []string
	add := func(part string, works ...string) {
		if slices.ContainsFunc(works, l.Did) {
			parts = append(parts, part)
		}
	}
	add("wrk for "+duration(s.Wrk)+" with 2 threads and bodies of 1 KiB", work.KeepAlive10, work.KeepAlive50,
		work.Connections)
	add(strconv.Itoa(s.Fresh)+" requests on new connections", work.NewConnection)
	add("transfers of "+size(s.Transfer), work.Download, work.Upload, work.Latency)
	add("four at once of "+size(s.Each)+" each", work.Downloads4)
	add("none for more than "+duration(s.Limit), work.Download, work.Upload, work.Downloads4)
	add("small requests for "+duration(s.Probe)+" alone and for as long beside a download", work.Latency)
	add(number(float64(s.Idle))+" idle connections", work.Idle)
	rounds := "in 1 round"
	if n := l.Rounds(); n != 1 {
		rounds = fmt.Sprintf("in each of %d rounds", n)
	}
	return "Done here " + rounds + ": " + strings.Join(parts, "; ") + "."
}

func method(b *strings.Builder) {
	b.WriteString(`
## How it is measured

A laptop of its own, a network namespace, reaches API server, Ingress and Services of the cluster through one line only: a
cable at RTT 0, otherwise two TUN devices and a program that carries every packet after half the round trip, and loses
the given share of them in each direction. The kernel hands it several packets of a connection at once, as it does to a
network card, but each is lost by itself. Everything above is the kernel's own TCP.

The caller is on the laptop, and the server in a pod; for an intercept the server is on the laptop, and the caller on
the cluster's node. The pods behind the intercepted Service answer nothing but errors, so what fails open counts as an
error. The server is a small HTTP server written in Go. "Direct" is the ClusterIP, routed through the line.

A download's and an upload's time includes the connection's; what takes too long counts as far as it came. Times that
a download adds are percentiles during it less the same percentiles before it. Small requests come from eight
connections that are open.
`)
}
