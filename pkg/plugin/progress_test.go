// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgressInLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		r := newReport(&b)
		p := r.beginning("deploying it")
		p.says("waiting for nothing in particular") // for too short a time to tell
		time.Sleep(progressAfter / 2)
		p.says("waiting for a node")
		time.Sleep(progressAfter)
		p.says("waiting for an image")
		time.Sleep(progressAfter)
		p.says("waiting for a node")
		time.Sleep(progressAfter)
		p.ends()
		p.ends()
		r.is("done")
		want := "► deploying it\n► waiting for a node\n► waiting for an image\n✔ done\n"
		if b.String() != want {
			t.Errorf("reported is %q, want %q", b.String(), want)
		}
	})
}

func TestProgressOfWhatIsQuick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, colour := range []bool{false, true} {
			var b strings.Builder
			r := &report{w: &b, colour: colour}
			if err := r.while(func() error { time.Sleep(progressAfter / 2); return nil }, "looking"); err != nil {
				t.Error(err)
			}
			if b.String() != "" {
				t.Errorf("reported is %q, want nothing", b.String())
			}
		}
	})
}

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		r := &report{w: &b, colour: true}
		p := r.during("looking")
		time.Sleep(progressAfter + spinEvery/2)
		drawn := clearLine + inColour(cyan, "⠋") + " looking (1s)"
		r.is("found")
		time.Sleep(spinEvery)
		p.ends()
		want := drawn + clearLine + inColour(green, "✔") + " found\n" +
			clearLine + inColour(cyan, "⠙") + " looking (1s)" + clearLine
		if b.String() != want {
			t.Errorf("drawn is %q, want %q", b.String(), want)
		}
	})
}

// Nothing is drawn where a COMMAND writes: it would be drawn over what that has written.
func TestProgressBesideACommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		r := &report{w: &b, colour: true}
		end := r.shares()
		p := r.during("looking")
		time.Sleep(2 * progressAfter)
		p.ends()
		end()
		want := inColour(cyan, "►") + " looking\n"
		if b.String() != want {
			t.Errorf("reported is %q, want %q", b.String(), want)
		}
	})
}
