// SPDX-License-Identifier: Apache-2.0

package livesession

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-velo/kubectl-velo/pkg/socketerror"
)

const (
	// maxQuestions is how many sessions are asked at a time; more than a machine has.
	maxQuestions = 256
	// youngest is the age at which a socket that refuses connections is given up. Between the moment it is made and the
	// one it is listened at, it refuses them, too.
	youngest = 5 * time.Second
)

// SessionError is what is wrong with one session. The others can be listed all the same.
type SessionError struct {
	// ID is the session's.
	ID  string
	err error
}

func (e *SessionError) Error() string { return fmt.Sprintf("asking session %s: %v", e.ID, e.err) }

// Unwrap returns what happened when it was asked.
func (e *SessionError) Unwrap() error { return e.err }

// List asks all sessions that this user runs on this machine, the one that has run for the longest first. All are asked
// at once and given one second. The errors are [SessionError] for those that didn't answer, or one other if there is no
// asking at all, for example an [UnsafeDirectoryError].
func List(ctx context.Context) ([]Session, []error) {
	dir, err := directory()
	if err != nil {
		return nil, []error{err}
	}
	return list(ctx, dir, deadline)
}

// list waits for each of the sessions of a directory as long as patience has it.
func list(ctx context.Context, dir string, patience time.Duration) ([]Session, []error) {
	sockets, err := socketsIn(dir)
	if err != nil {
		return nil, []error{err}
	}
	type reply struct {
		session *Session
		err     error
	}
	replies := make([]reply, len(sockets))
	var questions errgroup.Group
	questions.SetLimit(maxQuestions)
	for i, socket := range sockets {
		questions.Go(func() error {
			session, err := ask(ctx, dir, socket, patience)
			replies[i] = reply{session, err}
			return nil
		})
	}
	_ = questions.Wait()
	var (
		sessions []Session
		errs     []error
	)
	for i, r := range replies {
		switch {
		case r.err != nil:
			errs = append(errs, &SessionError{sockets[i].Name(), r.err})
		case r.session != nil:
			sessions = append(sessions, *r.session)
		}
	}
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	return sessions, errs
}

// socketsIn returns the sockets of sessions by name, and none if the directory doesn't exist.
func socketsIn(dir string) ([]fs.FileInfo, error) {
	err := check(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking for sessions: %w", err)
	}
	var sockets []fs.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // its session has ended meanwhile
		}
		if info.Mode().Type() == fs.ModeSocket && checkID(info.Name()) == nil {
			sockets = append(sockets, info)
		}
	}
	return sockets, nil
}

// ask returns what a session says of itself, or neither a session nor an error if there is none any more.
func ask(ctx context.Context, dir string, socket fs.FileInfo, patience time.Duration) (*Session, error) {
	path := filepath.Join(dir, socket.Name())
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it doesn't answer within %v", patience))
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case socketerror.IsRefused(err):
		if time.Since(socket.ModTime()) >= youngest {
			_ = os.Remove(path) // who lists next will try again
		}
		return nil, nil
	case err != nil:
		return nil, because(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		stop()
		_ = conn.Close()
	}()
	said, err := read(conn)
	if err != nil {
		if _, gone := os.Lstat(path); errors.Is(gone, fs.ErrNotExist) {
			return nil, nil // it ended instead of answering
		}
		return nil, because(ctx, err)
	}
	session, err := decode(said, socket.Name())
	if err != nil {
		return nil, err
	}
	return &session, nil
}

// because returns why ctx has ended, if it has, and else the error.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
