// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func needsProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip(err)
	}
}

func TestFindProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := findProgram([]string{self, "argument"}); err != nil {
		t.Errorf("findProgram: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, program string
		code          int
	}{
		{"not in the PATH", "program-that-is-not-there", exitNotFound},
		{"not there", "./nowhere/program", exitNotFound},
		{"empty", "", exitNotFound},
		{"a directory", t.TempDir(), exitNotExecutable},
		{"not executable", text, exitNotExecutable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := findProgram([]string{test.program})
			if err == nil || !strings.Contains(err.Error(), test.program) || exitCode(err) != test.code || hintOf("", err) == "" {
				t.Errorf("findProgram: %v, exit code %d, want %d, hint %q", err, exitCode(err), test.code, hintOf("", err))
			}
		})
	}
}

func TestRunChild(t *testing.T) {
	needsProgram(t, "sh")
	tests := []struct {
		name, script      string
		in, out, errOut   string
		code              int
		commandsOwnNumber bool
	}{
		{name: "good end", script: "cat; echo out; echo err >&2", in: "in\n", out: "in\nout\n", errOut: "err\n"},
		{name: "code of its own", script: "exit 3", code: 3, commandsOwnNumber: true},
		{name: "killed", script: "kill -9 $$", code: 137, commandsOwnNumber: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, in, out, errOut := genericiooptions.NewTestIOStreams()
			in.WriteString(tt.in)
			err := runChild(t.Context(), nil, []string{"sh", "-c", tt.script}, nil, streams)
			if _, ok := errors.AsType[*commandError](err); exitCode(err) != tt.code || ok != tt.commandsOwnNumber {
				t.Errorf("runChild: %v, exit code %d, want %d", err, exitCode(err), tt.code)
			}
			if out.String() != tt.out || errOut.String() != tt.errOut {
				t.Errorf("stdout %q, stderr %q", out, errOut)
			}
		})
	}
}

// A session that ends asks its COMMAND to end, and that is no failure.
func TestRunChildEndsWithSession(t *testing.T) {
	needsProgram(t, "cat")
	in, toChild, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromChild, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, f := range []*os.File{in, toChild, fromChild, out} {
			_ = f.Close()
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var errOut bytes.Buffer
	ended := make(chan error)
	go func() {
		ended <- runChild(ctx, nil, []string{"cat"}, nil, genericiooptions.IOStreams{In: in, Out: out, ErrOut: &errOut})
	}()
	// What it echoes says that it runs.
	if _, err := toChild.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(fromChild, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("runChild: %v", err)
	}
}
