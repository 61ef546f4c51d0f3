// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-velo/kubectl-velo/test/e2e/service"
)

// Held is what a caller that holds a connection has seen of its end.
type Held struct {
	Read  int64  `json:"read"`
	Ended string `json:"ended"`
}

// hold keeps a connection, sends something if it is to, and reads until the other side ends it. When it is open it says
// "connected" on stderr.
func hold(ctx context.Context, stderr io.Writer, flags *flag.FlagSet, args []string) (any, error) {
	address := flags.String("address", "", "where to connect")
	size := flags.Int64("bytes", 0, "how much to send")
	_ = flags.Parse(args) // it exits
	conn, err := dial(ctx, *address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_, _ = fmt.Fprintln(stderr, "connected")
	var sending errgroup.Group
	sending.Go(func() error {
		_, _ = io.Copy(conn, service.Bytes(*size)) // nobody may be reading
		return nil
	})
	held := Held{Ended: "end of data"}
	held.Read, err = io.Copy(io.Discard, conn)
	if err != nil {
		held.Ended = err.Error()
	}
	_ = conn.Close()
	return held, sending.Wait()
}

// idle opens many connections to the service's echo port, has one byte echoed on each, and holds them all until stdin
// ends; then it does so again. When all are open it says "idle" on stderr.
func idle(ctx context.Context, stdin io.Reader, stderr io.Writer, flags *flag.FlagSet, args []string) (any, error) {
	address := flags.String("address", "", "the service's echo port")
	count := flags.Int("count", 2000, "connections")
	_ = flags.Parse(args) // it exits
	conns := make([]io.ReadWriteCloser, *count)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
	}()
	var opening errgroup.Group
	opening.SetLimit(100)
	for i := range conns {
		opening.Go(func() error {
			conn, err := dial(ctx, *address)
			if err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			conns[i] = conn
			return nil
		})
	}
	if err := opening.Wait(); err != nil {
		return nil, err
	}
	if err := echoByte(conns); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintln(stderr, "idle")
	_, _ = io.Copy(io.Discard, stdin)
	return Count{int64(*count)}, echoByte(conns)
}

func echoByte(conns []io.ReadWriteCloser) error {
	for i, conn := range conns {
		sent := []byte{byte(i)}
		if _, err := conn.Write(sent); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		var got [1]byte
		if _, err := io.ReadFull(conn, got[:]); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if got[0] != sent[0] {
			return fmt.Errorf("connection %d: %w: byte %d", i, errUnexpected, got[0])
		}
	}
	return nil
}
