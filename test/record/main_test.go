// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("there is no sh here")
	}
	path := filepath.Join(t.TempDir(), "demo.cast")
	var shown strings.Builder
	err := run(t.Context(), []string{"-o", path, "--title", "t", "--replace", "/home/me=~", "--", "sh", "-c", `echo "in /home/me"; echo 'a "b" <c>' >&2; printf end`}, &shown)
	if err != nil {
		t.Fatal(err)
	}
	if want := "in /home/me\na \"b\" <c>\nend"; shown.String() != want {
		t.Errorf("it shows %q, want %q", shown.String(), want)
	}
	title, printed := readCast(t, path)
	if want := "in ~\r\na \"b\" <c>\r\nend"; title != "t" || printed != want {
		t.Errorf("recorded %q: %q, want %q", title, printed, want)
	}
}

// A command that fails is no recording.
func TestRecordFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "demo.cast")
	for _, args := range [][]string{
		{"-o", path, "--", "sh", "-c", "echo begun; exit 3"},
		{"-o", path, "--", filepath.Join(t.TempDir(), "nothing")},
		{"-o", path},
		{"--replace", "x", "-o", path, "--", "sh", "-c", "true"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: a file: %v", args, err)
		}
	}
}

// readCast reads an asciicast: its title, and all that was printed.
func readCast(t *testing.T, path string) (title, printed string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Scan()
	var h header
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil || h.Version != 2 || h.Width == 0 || h.Height == 0 {
		t.Fatalf("the header %q: %+v, %v", lines.Text(), h, err)
	}
	last := 0.0
	for lines.Scan() {
		var event [3]any
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			t.Fatal(err)
		}
		at, isTime := event[0].(float64)
		text, isText := event[2].(string)
		if !isTime || !isText || at < last || event[1] != "o" {
			t.Fatalf("an event %v after %v", event, last)
		}
		last = at
		printed += text
	}
	return h.Title, printed
}
