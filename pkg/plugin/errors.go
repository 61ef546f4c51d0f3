// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Exit codes. A COMMAND that was run gives its own.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitTimeout = 124
	// As shells have it, for a COMMAND.
	exitNotExecutable = 126
	exitNotFound      = 127
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

func (e *commandError) Error() string {
	return fmt.Sprintf("the command ended with exit code %d", e.code)
}

// programError says why a COMMAND can't be started.
type programError struct {
	error
	code int
}

func (e *programError) Unwrap() error { return e.error }

// exitCode returns the code that a command ends with.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if command, ok := errors.AsType[*commandError](err); ok {
		return command.code
	}
	if program, ok := errors.AsType[*programError](err); ok {
		return program.code
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if errors.Is(err, errTimeout) {
		return exitTimeout
	}
	return exitFailure
}

// printError writes what is wrong and what can be done about it: every joined error for itself. The command is the one
// that was called, as its user writes it.
func printError(w io.Writer, command string, err error) {
	if all := joined(err); all != nil {
		for _, one := range all {
			printError(w, command, one)
		}
		return
	}
	if _, ok := errors.AsType[*commandError](err); ok {
		return
	}
	said := message(err)
	if !strings.HasPrefix(said, fromServer) {
		said = "error: " + said
	}
	_, _ = fmt.Fprintln(w, said)
	if hint := hintOf(command, err); hint != "" {
		_, _ = fmt.Fprintln(w, "hint: "+hint)
	}
}

// joined returns the errors that err was joined of by [errors.Join], if it was. What [fmt.Errorf] makes of several
// errors is a list, too, but says more than they do.
func joined(err error) []error {
	list, ok := err.(interface{ Unwrap() []error })
	if !ok || errors.Join(list.Unwrap()...).Error() != err.Error() {
		return nil
	}
	return list.Unwrap()
}

// fromServer is what kubectl says of the API's errors.
const fromServer = "error from server"

// message says an error in one line or more, with the reason the API gave, as kubectl says it.
func message(err error) string {
	text := err.Error()
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		if reason := string(status.Status().Reason); reason != "" {
			said := status.Status().Message
			return strings.Replace(text, said, fromServer+" ("+reason+"): "+said, 1)
		}
	}
	return text
}

// hintOf returns what can be done about an error of a command, or "".
func hintOf(command string, err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return "see '" + command + " --help'"
	}
	if _, ok := errors.AsType[*net.OpError](err); ok && !errors.Is(err, context.Canceled) {
		return "is the cluster up, and the kubeconfig's context the right one? Try 'kubectl cluster-info'"
	}
	if apierrors.IsUnauthorized(err) {
		return "log in to the cluster again"
	}
	return ""
}
