// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// childGrace is how long a COMMAND may take to end after it was asked to.
const childGrace = 5 * time.Second

// findProgram makes sure that a COMMAND's program exists, before anything is changed for its sake.
func findProgram(command []string) error {
	_, err := exec.LookPath(command[0])
	if err == nil {
		return nil
	}
	code := exitNotFound
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EISDIR) {
		code = exitNotExecutable
	}
	return withHint(&programError{fmt.Errorf("the command can't be run: %w", err), code},
		"name a program after -- that is in your PATH, or the path of one")
}

// runChild runs a COMMAND on this terminal, with an environment, or this process's if that is nil, until it ends, or until ctx does: then it is asked to end, and killed if it
// doesn't. An exit code of its own comes back as a [commandError].
func runChild(ctx context.Context, interrupts *Interrupts, command, environ []string, streams genericiooptions.IOStreams) error {
	child := exec.CommandContext(ctx, command[0], command[1:]...)
	child.Env = environ
	child.Stdin, child.Stdout, child.Stderr = streams.In, streams.Out, streams.ErrOut
	child.WaitDelay = childGrace
	child.Cancel = func() error {
		// Not every system can ask; there the process is killed.
		if err := child.Process.Signal(syscall.SIGTERM); err != nil {
			return child.Process.Kill()
		}
		return nil
	}
	// The terminal has told it of Ctrl-C already, and what that means is its own affair: it may end no more than a query.
	defer interrupts.leave(func(s os.Signal) bool { return s == os.Interrupt && isTerminal(streams.In) })()
	err := child.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		return &commandError{codeOf(exit)}
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("running %s: %w", command[0], err)
	}
	return nil
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// killedCode is what shells add to the number of the signal that killed a process.
const killedCode = 128

// codeOf returns the exit code of a process, as a shell would.
func codeOf(exit *exec.ExitError) int {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return killedCode + int(status.Signal())
	}
	return exit.ExitCode()
}
