// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	// progressAfter is how long something may take before it is worth a word.
	progressAfter = time.Second
	// spinEvery is how often the spinner turns.
	spinEvery = 100 * time.Millisecond
)

// clearLine takes the cursor to the line's beginning and erases the line: CR, and EL of ECMA-48.
const clearLine = "\r\x1b[K"

const spinnerFrames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

// progress is something that takes its time. If that is more than a second, it is shown: by a spinner on a terminal, and
// otherwise by a line for everything that it waits for, each once.
//
// Whoever begins it ends it, before anything else than the report writes to the terminal.
type progress struct {
	report *report
	since  time.Time
	stop   chan struct{}
	done   chan struct{}
	ended  sync.Once

	// The report's mutex guards these.
	text string
	told map[string]bool
}

// during shows that something goes on until it is ended.
func (r *report) during(format string, args ...any) *progress {
	p := &progress{
		report: r, since: time.Now(), text: fmt.Sprintf(format, args...), told: make(map[string]bool),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go p.run()
	return p
}

// spinning is during for what has a line already: only a terminal shows it.
func (r *report) spinning(format string, args ...any) *progress {
	p := r.during(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	p.told[p.text] = true
	return p
}

// beginning says that something begins, and shows that it goes on until it is ended.
func (r *report) beginning(format string, args ...any) *progress {
	r.begins(format, args...)
	return r.spinning(format, args...)
}

// undoing says that something is being undone, and shows that it goes on until it is ended.
func (r *report) undoing(format string, args ...any) *progress {
	r.undoes(format, args...)
	return r.spinning(format, args...)
}

// while shows that something goes on, and does it.
func (r *report) while(do func() error, format string, args ...any) error {
	p := r.during(format, args...)
	defer p.ends()
	return do()
}

// shares has nothing drawn on the terminal until end is called: others write there, too.
func (r *report) shares() (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	r.shared++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.shared--
	}
}

// says what it waits for now.
func (p *progress) says(format string, args ...any) {
	p.report.mu.Lock()
	defer p.report.mu.Unlock()
	p.text = fmt.Sprintf(format, args...)
}

// ends takes it off the terminal. It may be called again.
func (p *progress) ends() {
	p.ended.Do(func() { close(p.stop) })
	<-p.done
}

func (p *progress) run() {
	defer close(p.done)
	first := time.NewTimer(progressAfter)
	defer first.Stop()
	select {
	case <-p.stop:
		return
	case <-first.C:
	}
	tick := time.NewTicker(spinEvery)
	defer tick.Stop()
	for {
		p.show()
		select {
		case <-p.stop:
			p.report.mu.Lock()
			p.report.clear()
			p.report.mu.Unlock()
			return
		case <-tick.C:
		}
	}
}

// show draws the spinner, or says what has not been said.
func (p *progress) show() {
	r := p.report
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.colour && r.shared == 0 {
		frames := []rune(spinnerFrames)
		took := time.Since(p.since)
		frame := string(frames[int(took/spinEvery)%len(frames)])
		text := r.fit(fmt.Sprintf("%s (%ds)", p.text, int(took.Seconds())))
		_, _ = fmt.Fprint(r.w, clearLine+inColour(cyan, frame)+" "+text)
		r.drawn = true
		return
	}
	if !p.told[p.text] {
		p.told[p.text] = true
		r.write(cyan, "►", "%s", []any{p.text})
	}
}

// clear erases the spinner, if there is one. The mutex is held.
func (r *report) clear() {
	if r.drawn {
		_, _ = fmt.Fprint(r.w, clearLine)
		r.drawn = false
	}
}

// fit cuts a text off so that it stays on one line of the terminal, beside the spinner: only that can be erased.
func (r *report) fit(text string) string {
	f, ok := r.w.(*os.File)
	if !ok {
		return text
	}
	width, _, err := term.GetSize(int(f.Fd()))
	const beside = 3 // the spinner, a space, and a column that stays free
	if runes := []rune(text); err == nil && width > beside && len(runes) > width-beside {
		return string(runes[:width-beside-1]) + "…"
	}
	return text
}
