// SPDX-License-Identifier: Apache-2.0

// Package netns holds network namespaces by nothing but a thread each, so that they, their devices, addresses and
// routes go with the process whichever way it ends, and nothing has to be cleaned up.
package netns

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Namespace is a network namespace with a thread of this process in it.
type Namespace struct {
	tid  int
	work chan func()
	done chan struct{}
}

// New makes an empty namespace. Nothing in it is up, not even loopback.
func New() (*Namespace, error) {
	return start(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
}

// Open joins the namespace that a file stands for.
func Open(path string) (*Namespace, error) {
	n, err := start(func() error {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Setns(fd, unix.CLONE_NEWNET)
	})
	if err != nil {
		return nil, fmt.Errorf("entering the network namespace %s: %w", path, err)
	}
	return n, nil
}

func start(enter func() error) (*Namespace, error) {
	n := &Namespace{work: make(chan func()), done: make(chan struct{})}
	entered := make(chan error)
	go func() {
		// It is never unlocked: a thread in another namespace must not run anything else, and so ends with this
		// goroutine.
		runtime.LockOSThread()
		defer close(n.done)
		n.tid = unix.Gettid()
		err := enter()
		entered <- err
		if err != nil {
			return
		}
		for f := range n.work {
			f()
		}
	}()
	if err := <-entered; err != nil {
		return nil, err
	}
	return n, nil
}

// Close leaves the namespace. Processes that Start started there are killed. One that New made goes with the last of
// them.
func (n *Namespace) Close() {
	close(n.work)
	<-n.done
}

// Tid is the thread in the namespace, by which others name it.
func (n *Namespace) Tid() int { return n.tid }

// Do runs f on the thread in the namespace. What f opens there stays there.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error)
	n.work <- func() { done <- f() }
	return <-done
}

// Start starts a process in the namespace, which is killed if this process ends first.
func (n *Namespace) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for this process, which ends the others in order
	return n.Do(cmd.Start)
}

// Run runs a process in the namespace to its end.
func (n *Namespace) Run(cmd *exec.Cmd) error {
	if err := n.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// IP runs the ip command in the namespace with a command a line.
func (n *Namespace) IP(ctx context.Context, lines ...string) error {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Join(lines, "\n")), &stderr
	if err := n.Run(cmd); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(lines, "; "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// Sysctl sets a key of the namespace, with slashes in it, below /proc/sys.
func (n *Namespace) Sysctl(key, value string) error {
	// What is below /proc/sys/net depends on who asks, by thread.
	return n.Do(func() error {
		fd, err := unix.Open("/proc/sys/"+key, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("setting %s: %w", key, err)
		}
		defer unix.Close(fd)
		if _, err := unix.Write(fd, []byte(value)); err != nil {
			return fmt.Errorf("setting %s: %w", key, err)
		}
		return nil
	})
}
