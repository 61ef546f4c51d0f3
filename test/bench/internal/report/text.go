// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// Text writes a line for every figure through every way, and one for every target.
func Text(w io.Writer, r *result.Run) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LINE\tWORK\tFIGURE\tWAY\tMEDIAN\tLEAST–MOST\tUNIT\tTO DIRECT\tTO KUBECTL\tERRORS")
	for i := range r.Lines {
		for _, name := range r.Works {
			found, ok := work.Find(name.Name)
			if !ok {
				continue
			}
			for _, f := range found.Figures {
				for _, way := range r.Ways {
					textRow(t, &r.Lines[i], found, f, way.Name)
				}
			}
		}
	}
	judged := slices.DeleteFunc(r.Judge(), func(j result.Judgement) bool {
		return j.Verdict == result.NotMeasured // the page says so
	})
	if len(judged) > 0 {
		fmt.Fprintln(t, "\nLINE\tWORK\tFIGURE\tWAY\tMEASURED\tHAS TO BE\tAIM\t")
		for _, j := range judged {
			found, _ := work.Find(j.Target.Work)
			f, _ := found.Figure(j.Target.Figure)
			fmt.Fprintln(t, strings.Join([]string{
				result.LineName(j.Target.RTT, j.Target.Loss), j.Target.Work, f.Name, j.Way, value(j, f),
				bound(j.Target, f, j.Target.Bound), bound(j.Target, f, j.Target.Aim), verdicts()[j.Verdict],
			}, "\t"))
		}
	}
	return t.Flush()
}

func textRow(w io.Writer, l *result.Line, wk work.Work, f work.Figure, way string) {
	s, ok := l.Figure(wk.Name, way, f.Name)
	requests, rounds := l.Errors(wk.Name, way)
	if !ok && rounds == 0 {
		return
	}
	factor, unit := scale(f.Unit)
	cells := []string{
		l.Name, wk.Name, f.Name, way,
		number(s.Median * factor), number(s.Min*factor) + "–" + number(s.Max*factor), unit,
		compared(l, wk, f, way, direct), compared(l, wk, f, way, kubectl), number(float64(requests)),
	}
	if rounds > 0 {
		cells[len(cells)-1] += ", " + failedRounds(rounds)
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// compared is a figure's ratio to that of another way, where that says something.
func compared(l *result.Line, w work.Work, f work.Figure, way, base string) string {
	s, ok := l.Ratio(w.Name, way, base, f.Name)
	if f.Absolute || way == base || !ok {
		return ""
	}
	return ratio(s)
}
