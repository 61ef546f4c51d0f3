// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

// Sizes of the plot, in pixels.
const (
	labelWidth = 230
	panelWidth = 190
	panelGap   = 26
	barHeight  = 11
	barGap     = 3
	rowGap     = 22
	headHeight = 128
	footHeight = 8
	margin     = 16
)

// The scale of every panel but those of absolute figures: from a fiftieth of the direct way to five times as good.
const (
	least = 0.02
	most  = 5
)

// colors are told apart by those who see few: Okabe and Ito's. Ways beyond them begin anew.
func colors() []string {
	return []string{"#999999", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2", "#F0E442"}
}

// headline is the figure of a work that is plotted.
func headline(w work.Work) work.Figure {
	if f, ok := w.Figure(work.AddedP99); ok {
		return f
	}
	return w.Figures[0]
}

// plot is what is drawn so far.
type plot struct {
	strings.Builder
	run *result.Run
}

// SVG draws a panel for every work over every line, with a bar for each way: how it compares with the direct way, the
// further to the right the better, whatever the figure. Times that a download adds are drawn as they are.
func SVG(w io.Writer, r *result.Run) error {
	p := &plot{run: r}
	var works []work.Work
	for _, name := range r.Works {
		if found, ok := work.Find(name.Name); ok && name.Name != work.Idle {
			works = append(works, found)
		}
	}
	rowHeight := len(r.Ways)*(barHeight+barGap) + rowGap
	width := 2*margin + labelWidth + len(r.Lines)*(panelWidth+panelGap)
	height := headHeight + len(works)*rowHeight + footHeight
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" `+
		`font-family="system-ui, sans-serif" font-size="11" fill="#222">`+"\n", width, height, width, height)
	fmt.Fprintf(p, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	p.text(margin, 26, `font-size="16" font-weight="bold"`, "How every way compares with the direct one")
	p.text(margin, 44, `fill="#666"`,
		"Median of up to "+number(float64(r.Rounds))+" rounds, with least and most. 1 is as good as direct.")
	p.text(margin, 59, `fill="#666"`,
		"Further right is better, but for times that a download adds: they have a scale of their own.")
	p.legend(width)
	for i := range r.Lines {
		x := margin + labelWidth + i*(panelWidth+panelGap)
		p.text(x, headHeight-24, `font-weight="bold"`, r.Lines[i].Name)
		p.axis(x, headHeight-4)
		for j, w := range works {
			p.panel(&r.Lines[i], w, x, headHeight+j*rowHeight)
		}
	}
	for j, w := range works {
		y := headHeight + j*rowHeight + (rowHeight-rowGap)/2
		p.text(margin, y, `font-weight="bold"`, wrapFirst(w.Title))
		p.text(margin, y+14, `fill="#666"`, wrapRest(w, headline(w)))
	}
	p.WriteString("</svg>\n")
	_, err := io.WriteString(w, p.String())
	return err
}

// wrapFirst and wrapRest put a title into two lines: what comes before its first comma, and all else with the figure.
func wrapFirst(title string) string {
	first, _, _ := strings.Cut(title, ",")
	return first
}

func wrapRest(w work.Work, f work.Figure) string {
	_, rest, ok := strings.Cut(w.Title, ", ")
	_, unit := scale(f.Unit)
	of := f.Name + ", " + unit
	if f.Name == work.Rate {
		of = unit
	}
	if ok {
		return rest + "; " + of
	}
	return of
}

func (p *plot) text(x, y int, attributes, s string) {
	fmt.Fprintf(p, `<text x="%d" y="%d" %s>`, x, y, attributes)
	_ = xml.EscapeText(p, []byte(s)) // a strings.Builder takes everything
	p.WriteString("</text>\n")
}

func (p *plot) legend(width int) {
	x := margin
	for i, w := range p.run.Ways {
		fmt.Fprintf(p, `<rect x="%d" y="70" width="11" height="11" fill="%s"/>`+"\n", x, color(i))
		p.text(x+15, 80, "", w.Title)
		x += 30 + 6*len(w.Title)
		if x > width {
			return
		}
	}
}

func color(i int) string { return colors()[i%len(colors())] }

// at is where a ratio is in a panel.
func at(v float64) float64 {
	v = min(max(v, least), most)
	return math.Log(v/least) / math.Log(most/least) * panelWidth
}

func (p *plot) axis(x, y int) {
	for _, v := range []float64{0.02, 0.1, 0.5, 1, 2, 5} {
		fmt.Fprintf(p, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#999"/>`+"\n", float64(x)+at(v),
			float64(x)+at(v), y-5, y-1)
		p.text(x+int(at(v)), y-8, `text-anchor="middle" fill="#666" font-size="9"`, number(v))
	}
}

// panel draws a work over a line.
func (p *plot) panel(l *result.Line, w work.Work, x, y int) {
	if !l.Did(w.Name) {
		return
	}
	f := headline(w)
	factor, unit := scale(f.Unit)
	height := len(p.run.Ways)*(barHeight+barGap) - barGap
	fmt.Fprintf(p, `<rect x="%d" y="%d" width="%d" height="%d" fill="#f5f5f5"/>`+"\n", x, y, panelWidth, height)
	if !f.Absolute {
		fmt.Fprintf(p, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#666" stroke-dasharray="2 2"/>`+"\n",
			float64(x)+at(1), float64(x)+at(1), y-2, y+height+2)
	}
	widest := p.widest(l, w, f)
	for i, way := range p.run.Ways {
		top := y + i*(barHeight+barGap)
		s, ok := l.Figure(w.Name, way.Name, f.Name)
		if !ok {
			p.text(x+3, top+9, `fill="#999" font-size="9"`, "–")
			continue
		}
		label := number(s.Median*factor) + " " + unit
		bar := s
		to := func(v float64) float64 { return min(max(v/widest, 0), 1) * panelWidth }
		if !f.Absolute {
			if bar, ok = l.Ratio(w.Name, way.Name, direct, f.Name); !ok {
				p.text(x+3, top+9, `font-size="9"`, label)
				continue
			}
			if !f.More() {
				bar = result.Spread{Median: 1 / bar.Median, Min: 1 / bar.Max, Max: 1 / bar.Min, Rounds: bar.Rounds}
			}
			to = at
			label = number(bar.Median) + "  ·  " + label
		}
		p.bar(float64(x), top, to(bar.Median), to(bar.Min), to(bar.Max), color(i), label)
	}
}

// widest is what a panel of absolute figures has room for: its medians. What is beyond is cut off.
func (p *plot) widest(l *result.Line, w work.Work, f work.Figure) float64 {
	widest := 0.001
	for _, way := range p.run.Ways {
		if s, ok := l.Figure(w.Name, way.Name, f.Name); ok {
			widest = max(widest, 1.2*s.Median)
		}
	}
	return widest
}

// bar draws one, with a line from the least to the most, and its label inside or beside it, where there is more room.
func (p *plot) bar(x float64, top int, length, from, to float64, fill, label string) {
	fmt.Fprintf(p, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", x, top, length, barHeight, fill)
	middle := float64(top) + barHeight/2.0
	fmt.Fprintf(p, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#000" stroke-opacity="0.6"/>`+"\n", x+from,
		x+to, middle, middle)
	start := x + 4
	if end := max(length, to); length < panelWidth/2 && end < panelWidth*2/3 {
		start += end
	}
	// The halo keeps it readable over lines.
	p.text(int(start), top+9, `font-size="9" paint-order="stroke" stroke="#fff" stroke-opacity="0.5" stroke-width="2"`,
		label)
}
