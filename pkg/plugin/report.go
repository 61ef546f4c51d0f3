// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// report writes status lines, for people, to stderr. Its words are the only ones used for status:
//
//	►  something begins
//	✔  something is so
//	⚠  something to know about; it goes on
//	◎  something is being undone
//	✗  something failed
//
// Data that was asked for goes to stdout, never here.
type report struct {
	mu     sync.Mutex
	w      io.Writer
	colour bool
	once   map[string]bool

	// drawn is whether the terminal's last line is a spinner; shared, how many others write to the terminal.
	drawn  bool
	shared int
}

// newReport colours its lines, and draws spinners, if w is a terminal that can, and NO_COLOR (https://no-color.org) isn't set.
func newReport(w io.Writer) *report { return &report{w: w, colour: takesColour(w)} }

func takesColour(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// SGR colour codes of ECMA-48.
const (
	green  = "32"
	yellow = "33"
	cyan   = "36"
	red    = "31"
)

func (r *report) begins(format string, args ...any) { r.line(cyan, "►", format, args) }
func (r *report) is(format string, args ...any)     { r.line(green, "✔", format, args) }
func (r *report) warns(format string, args ...any)  { r.line(yellow, "⚠", format, args) }
func (r *report) undoes(format string, args ...any) { r.line(cyan, "◎", format, args) }
func (r *report) fails(format string, args ...any)  { r.line(red, "✗", format, args) }

// warnsOnce warns of something that was not warned of before.
func (r *report) warnsOnce(format string, args ...any) { r.sayOnce(r.warns, format, args...) }

// beginsOnce says of something that it begins, unless it was said before.
func (r *report) beginsOnce(format string, args ...any) { r.sayOnce(r.begins, format, args...) }

// sayOnce says something in a way, if it was not said before.
func (r *report) sayOnce(say func(format string, args ...any), format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	r.mu.Lock()
	told := r.once[said]
	if r.once == nil {
		r.once = make(map[string]bool)
	}
	r.once[said] = true
	r.mu.Unlock()
	if !told {
		say("%s", said)
	}
}

func (r *report) line(colour, sign, format string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(colour, sign, format, args)
}

// write writes a line. The mutex is held.
func (r *report) write(colour, sign, format string, args []any) {
	r.clear()
	if r.colour {
		sign = inColour(colour, sign)
	}
	// Nobody is left to tell when stderr is gone.
	_, _ = fmt.Fprintf(r.w, sign+" "+format+"\n", args...)
}

func inColour(colour, text string) string { return "\x1b[" + colour + "m" + text + "\x1b[0m" }
