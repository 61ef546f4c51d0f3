// SPDX-License-Identifier: Apache-2.0

package livesession

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// deadline is how long one may take to answer, or to take an answer.
	deadline = time.Second
	// maxAnswers is how many are given at a time.
	maxAnswers = 16
	// acceptAgain is how long to wait when this process, or the machine, has no file descriptors left.
	acceptAgain = 250 * time.Millisecond
	// longestPath is how many bytes the path of a socket may have, without the zero byte at its end.
	longestPath = len(syscall.RawSockaddrUnix{}.Path) - 1
)

// Serve answers whoever asks for this machine's sessions until ctx ends, and then returns nil once the socket is removed
// and describe will not be called again. An error means that nobody can ask, for example an [UnsafeDirectoryError]: a
// session can do without.
//
// The ID consists of digits, small letters and hyphens. Describe is called for each one who asks, maybe several times at
// once; it must not block.
func Serve(ctx context.Context, id string, describe func() Session) error {
	dir, err := directory()
	if err != nil {
		return err
	}
	listener, err := listen(ctx, dir, id)
	if err != nil {
		return err
	}
	return serve(ctx, listener, func() Session {
		s := describe()
		s.Version, s.ID, s.PID = version, id, os.Getpid()
		return s
	})
}

func listen(ctx context.Context, dir, id string) (net.Listener, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if err := prepare(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, id)
	if len(path) > longestPath {
		return nil, fmt.Errorf("%s is too long a path for a socket: it may have %d bytes", path, longestPath)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for who asks for sessions: %w", err)
	}
	// Nobody else gets through the directory before this.
	if err := os.Chmod(path, ownerOnly); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for who asks for sessions: %w", err), listener.Close())
	}
	return listener, nil
}

func serve(ctx context.Context, listener net.Listener, describe func() Session) error {
	// Closing it removes the socket, too.
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var answers errgroup.Group
	answers.SetLimit(maxAnswers)
	for {
		conn, err := listener.Accept()
		if err == nil {
			answers.Go(func() error {
				answer(ctx, conn, describe)
				return nil
			})
			continue
		}
		if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
			// Of what else may be wrong, nothing lasts: too many open files, or a client that has gone again.
			select {
			case <-ctx.Done():
			case <-time.After(acceptAgain):
			}
			continue
		}
		_ = answers.Wait()
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("listening for who asks for sessions: %w", err)
	}
}

// answer tells one who asks, and closes the connection. Who has gone or doesn't listen isn't told.
func answer(ctx context.Context, conn net.Conn, describe func() Session) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		stop()
		_ = conn.Close()
	}()
	data, err := json.Marshal(describe())
	if err != nil || conn.SetDeadline(time.Now().Add(deadline)) != nil {
		return
	}
	_, _ = conn.Write(data)
}
