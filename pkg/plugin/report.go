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
}

// newReport colours its lines if w is a terminal and NO_COLOR (https://no-color.org) isn't set.
func newReport(w io.Writer) *report {
	r := &report{w: w}
	if f, ok := w.(*os.File); ok {
		r.colour = os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
	}
	return r
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
func (r *report) warnsOnce(format string, args ...any) {
	said := fmt.Sprintf(format, args...)
	r.mu.Lock()
	told := r.once[said]
	if r.once == nil {
		r.once = make(map[string]bool)
	}
	r.once[said] = true
	r.mu.Unlock()
	if !told {
		r.warns("%s", said)
	}
}

func (r *report) line(colour, sign, format string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.colour {
		sign = "\x1b[" + colour + "m" + sign + "\x1b[0m"
	}
	// Nobody is left to tell when stderr is gone.
	_, _ = fmt.Fprintf(r.w, sign+" "+format+"\n", args...)
}
