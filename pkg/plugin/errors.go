// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Exit codes. A COMMAND that was run gives its own.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitTimeout = 124
)

// usageError is a mistake in how a command was called. Nothing has been asked of the cluster.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// hintedError is an error with something its reader can do about it.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }
func (e *hintedError) Hint() string  { return e.hint }

func withHint(err error, format string, args ...any) error {
	return &hintedError{err, fmt.Sprintf(format, args...)}
}

// errTimeout is the cause of contexts that --timeout ends.
var errTimeout = errors.New("timed out")

// commandError is the end of a COMMAND with a code of its own; it has said for itself what was wrong.
type commandError struct{ code int }

func (e *commandError) Error() string { return fmt.Sprintf("the command ended with exit code %d", e.code) }

// exitCode returns the code that a command ends with.
func exitCode(err error) int {
	var usage *usageError
	var command *commandError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &command):
		return command.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errTimeout):
		return exitTimeout
	}
	return exitFailure
}

// printError writes what is wrong and what can be done about it: every joined error for itself.
func printError(w io.Writer, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // only what stands at the top is a list
		for _, one := range joined.Unwrap() {
			printError(w, one)
		}
		return
	}
	var command *commandError
	if errors.As(err, &command) {
		return
	}
	_, _ = fmt.Fprintln(w, "error: "+message(err))
	if hint := hintOf(err); hint != "" {
		_, _ = fmt.Fprintln(w, "hint: "+hint)
	}
}

// message says an error in one line or more, with the reason the API gave, as kubectl says it.
func message(err error) string {
	text := err.Error()
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		if reason := string(status.Status().Reason); reason != "" {
			said := status.Status().Message
			return strings.Replace(text, said, "error from server ("+reason+"): "+said, 1)
		}
	}
	return text
}

func hintOf(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	var usage *usageError
	var network *net.OpError
	switch {
	case errors.As(err, &usage):
		return "see 'kubectl velo --help'"
	case errors.As(err, &network) && !errors.Is(err, context.Canceled):
		return "is the cluster up, and the kubeconfig's context the right one? Try 'kubectl cluster-info'"
	case apierrors.IsUnauthorized(err):
		return "log in to the cluster again"
	case errors.Is(err, exec.ErrNotFound):
		return "name a program after -- that is in your PATH"
	}
	return ""
}
