// SPDX-License-Identifier: Apache-2.0

// Package profiling profiles other processes of this machine, in whichever namespaces: those that were built with the tag
// profile, for which pkg/profile says what they serve.
package profiling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/netns"
)

var (
	// ErrNotServed is why there are no profiles of a process that was built without the tag.
	ErrNotServed = errors.New("it was built without the tag profile")

	errAnswer = errors.New("unexpected answer")
)

// patience is how long a process may take to answer.
const patience = 10 * time.Second

// StartCPU begins a profile of the processors' time of a process.
func StartCPU(ctx context.Context, pid int) error {
	_, err := ask(ctx, pid, http.MethodPost, "/cpu/start")
	return err
}

// StopCPU ends it and returns it.
func StopCPU(ctx context.Context, pid int) ([]byte, error) {
	return ask(ctx, pid, http.MethodPost, "/cpu/stop")
}

// Heap returns a profile of what a process has in memory, without garbage.
func Heap(ctx context.Context, pid int) ([]byte, error) {
	return ask(ctx, pid, http.MethodGet, "/heap")
}

func ask(ctx context.Context, pid int, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://profile"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, pid) },
	}}
	response, err := client.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotServed
	}
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s: %w: %s: %s", path, errAnswer, response.Status, body)
	}
	return body, nil
}

// dial connects to a process's socket, whose name is one of its network namespace.
func dial(ctx context.Context, pid int) (conn net.Conn, err error) {
	own, err := ownPID(pid)
	if err != nil {
		return nil, err
	}
	ns, err := netns.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	err = ns.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("@velo-profile-%d", own))
		return err
	})
	return conn, err
}
