// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ErrUnknown is wrapped by the errors for what only a running pod has.
var ErrUnknown = errors.New("not known before the pod runs")

// Unreadable is something that a container's environment or files need and that can't be read: the user may not, or it
// isn't known ([ErrUnknown]).
type Unreadable struct {
	// Kind is what it is, in lower case: configmap, secret, services, node, file, token.
	Kind string
	// Name of it; "" for all Services of the namespace, and for a node that isn't known yet.
	Name string
	// Err is why it can't be read.
	Err error
}

func (u Unreadable) String() string {
	if u.Name == "" {
		return u.Kind
	}
	return u.Kind + "/" + u.Name
}

// IsUnreadable is whether an error is about something that can't be read, though it may well be there.
func IsUnreadable(err error) bool { return apierrors.IsForbidden(err) || errors.Is(err, ErrUnknown) }

// UnreadableError says all that can't be read. What it is returned with is complete but for that, so a caller may go
// on.
type UnreadableError struct{ Unreadable []Unreadable }

func (e *UnreadableError) Error() string {
	texts := make([]string, len(e.Unreadable))
	for i, one := range e.Unreadable {
		texts[i] = fmt.Sprintf("%s can't be read: %v", one, one.Err)
	}
	return strings.Join(texts, "; ")
}

func (e *UnreadableError) Unwrap() []error {
	errs := make([]error, len(e.Unreadable))
	for i, one := range e.Unreadable {
		errs[i] = one.Err
	}
	return errs
}

// Hint says what a user can do about it.
func (e *UnreadableError) Hint() string {
	return "go on without what comes from there with --skip-unreadable"
}

// MissingError says all that a container refers to and that isn't there. The kubelet wouldn't start the container.
type MissingError struct {
	// Missing are objects and keys, such as "configmap/web" and "key password of secret/db".
	Missing []string
}

func (e *MissingError) Error() string {
	return "the container couldn't start without " + strings.Join(e.Missing, ", ")
}

// Gaps gathers what couldn't be read, so that one error names all of it. Its zero value is ready for use.
type Gaps struct {
	missing    []string
	unreadable []Unreadable
}

// Note takes down why an object couldn't be read. It returns an error for a reason that isn't about that object, such
// as a cluster that can't be reached: there is no use in going on.
func (g *Gaps) Note(kind, name string, err error) error {
	gap := Unreadable{Kind: kind, Name: name, Err: err}
	switch {
	case IsUnreadable(err):
		if !slices.ContainsFunc(g.unreadable, func(u Unreadable) bool { return u.Kind == kind && u.Name == name }) {
			g.unreadable = append(g.unreadable, gap)
		}
		return nil
	case apierrors.IsNotFound(err):
		g.noteMissing(gap.String())
		return nil
	default:
		return fmt.Errorf("reading %s: %w", gap, err)
	}
}

// NoteKey takes down that an object is there but lacks a key.
func (g *Gaps) NoteKey(kind, name, key string) {
	g.noteMissing(fmt.Sprintf("key %s of %s/%s", key, kind, name))
}

func (g *Gaps) noteMissing(what string) {
	if !slices.Contains(g.missing, what) {
		g.missing = append(g.missing, what)
	}
}

// Err returns nil if there are no gaps, a [*MissingError] if there is something missing, and else an
// [*UnreadableError].
func (g *Gaps) Err() error {
	switch {
	case len(g.missing) > 0:
		return &MissingError{g.missing}
	case len(g.unreadable) > 0:
		return &UnreadableError{g.unreadable}
	default:
		return nil
	}
}
