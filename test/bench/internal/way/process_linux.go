// SPDX-License-Identifier: Apache-2.0

package way

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/netns"
)

// endTime is how long a process may take to end when it is asked to.
const endTime = 20 * time.Second

var errEnded = errors.New("it has ended")

// A process runs beside what is measured.
type process struct {
	cmd    *exec.Cmd
	output output
	ended  chan struct{}
}

// output is what a process says, kept for those who wait for something in it.
type output struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed when there is more
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.buf.Write(p)
}

// read returns what was said, and a channel that is closed when there is more.
func (o *output) read() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more == nil {
		o.more = make(chan struct{})
	}
	return o.buf.String(), o.more
}

func startProcess(
	ctx context.Context, ns *netns.Namespace, env []string, program string, args ...string,
) (*process, error) {
	// It ends when it is told to, in order.
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(ctx), program, args...), ended: make(chan struct{})}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := ns.Start(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // whoever waits reads what it has said
	}()
	return p, nil
}

// says waits until the process has said something, and returns the line it is in.
func (p *process) says(ctx context.Context, what string) (string, error) {
	for {
		said, more := p.output.read()
		for line := range strings.Lines(said) {
			if strings.Contains(line, what) && strings.HasSuffix(line, "\n") {
				return strings.TrimSpace(line), nil
			}
		}
		select {
		case <-more:
		case <-p.ended:
			return "", fmt.Errorf("%s %w: %s", p.cmd, errEnded, said)
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for %s to say %q: %w: %s", p.cmd, what, ctx.Err(), said)
		}
	}
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stop ends the process as Ctrl-C does.
func (p *process) stop() error {
	if !p.running() {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGINT) // it may end meanwhile
	select {
	case <-p.ended:
		return nil
	case <-time.After(endTime):
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	said, _ := p.output.read()
	return fmt.Errorf("%s had to be killed: %s", p.cmd, said)
}
