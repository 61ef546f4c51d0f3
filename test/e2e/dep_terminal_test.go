// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Ctrl-C on a terminal is the COMMAND's own, once, and may mean anything to it: here, to go on.
func TestInterruptOnTerminal(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("there is no program here that makes a terminal: ", err)
	}
	e := newEnv(t, nil)
	e.deployWebAndApp(1)
	inner := filepath.Join(t.TempDir(), "inner")
	err := os.WriteFile(inner, []byte(`
trap 'echo "got INT"' INT
trap 'echo "got TERM"' TERM
echo ready
until read -r line; do :; done
echo "read $line"
exit 7
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	// A shell that stays beside it would make an exit code of its own out of the interrupt.
	velo := "exec " + strings.Join(append([]string{"kubectl"}, e.flags([]string{"velo", "run", "deployment/app", "--", "bash", inner})...), " ")
	cmd := exec.CommandContext(t.Context(), "script", "--quiet", "--return", "--flush", "--command", velo, "/dev/null")
	var said syncBuffer
	cmd.Stdout, cmd.Stderr = &said, &said
	terminal, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const interrupt = "\x03"
	for _, step := range []struct{ awaited, typed string }{{"ready", interrupt}, {"got INT", "a line\n"}, {"read a line", ""}} {
		e.eventually(fmt.Sprintf("%q", step.awaited), func() error {
			if !strings.Contains(said.String(), step.awaited) {
				return errNotYet
			}
			return nil
		})
		if _, err := io.WriteString(terminal, step.typed); err != nil {
			t.Fatal(err)
		}
	}
	err = cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 7 {
		t.Errorf("it ended with %v, not with the COMMAND's code", err)
	}
	if output := said.String(); strings.Count(output, "got INT") != 1 || strings.Contains(output, "got TERM") {
		t.Errorf("it got other signals than one interrupt:\n%s", output)
	}
	e.nothingStays()
}
