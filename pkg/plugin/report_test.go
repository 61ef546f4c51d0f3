// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"io"
	"os"
	"strings"
	"testing"
)

const reported = "► deploying 1\n✔ done 100%\n⚠ careful\n◎ restoring svc/cart\n✗ no\n"

func reportAll(r *report) {
	r.begins("deploying %d", 1)
	r.is("done %d%%", 100)
	r.warns("careful")
	r.undoes("restoring %s", "svc/cart")
	r.fails("no")
}

func TestReportIsPlain(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	t.Run("in memory", func(t *testing.T) {
		var b strings.Builder
		reportAll(newReport(&b))
		if b.String() != reported {
			t.Errorf("reported is %q, want %q", b.String(), reported)
		}
	})
	t.Run("in a pipe", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		reportAll(newReport(w))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != reported {
			t.Errorf("reported is %q, %v; want %q", got, err, reported)
		}
	})
}

func TestReportInColour(t *testing.T) {
	var b strings.Builder
	reportAll(&report{w: &b, colour: true})
	want := "\x1b[36m►\x1b[0m deploying 1\n\x1b[32m✔\x1b[0m done 100%\n\x1b[33m⚠\x1b[0m careful\n\x1b[36m◎\x1b[0m restoring svc/cart\n\x1b[31m✗\x1b[0m no\n"
	if b.String() != want {
		t.Errorf("reported is %q, want %q", b.String(), want)
	}
}
