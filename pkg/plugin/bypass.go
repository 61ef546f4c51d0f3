// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
	"github.com/kubectl-velo/kubectl-velo/pkg/pathcheck"
)

const (
	// pathPatience bounds one look at a production path while a session runs, and endPatience all of them when it ends:
	// nobody waits for that gladly.
	pathPatience = 20 * time.Second
	endPatience  = 2 * time.Second
	// againAfter is between two looks at a path that was found broken when an intercept has just ended: nodes and
	// controllers follow within a moment.
	againAfter = 300 * time.Millisecond
	// arrow is between what callers pass, in what is said of a path.
	arrow = " → "
	// saidPaths is how many broken paths of one target are said.
	saidPaths = 3
)

// pathLooker looks at production paths; [pathcheck.Checker] is one.
type pathLooker interface {
	Check(ctx context.Context, target pathcheck.Target) (*pathcheck.Report, error)
}

// bypass is a way to a workload that isn't its production path, and what is known of that.
type bypass struct {
	// static compares what objects say, and live asks those on the way, too.
	static, live pathLooker
	// paths finds what leads to the workload in production.
	paths func(ctx context.Context) ([]pathcheck.Target, error)
	// ports are the numbers of those of a Service that it is a way to; none are all.
	ports []uint16

	mu     sync.Mutex
	broken []string // why, path by path
	since  time.Time
	asked  time.Duration // how long the last look took that was for live hops, too
}

// Requests per second for looking at paths. They have a limit of their own, so that a session's own requests don't wait.
const (
	pathRate  = 10
	pathBurst = 40
)

// pathLookers returns the two that a bypass has.
func (c *cluster) pathLookers() (static, live *pathcheck.Checker, err error) {
	config := rest.CopyConfig(c.config)
	config.QPS, config.Burst = pathRate, pathBurst
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, err
	}
	if live, err = pathcheck.New(config, client); err != nil {
		return nil, nil, err
	}
	quiet := *live
	quiet.Static = true
	return &quiet, live, nil
}

// look looks at the paths and returns why they are broken. Live hops are asked only where what objects say is well. An error
// means that not everything could be looked at.
func (b *bypass) look(ctx context.Context, live bool) (broken []string, err error) {
	began := time.Now()
	targets, err := b.paths(ctx)
	if err != nil {
		return nil, err
	}
	for _, target := range targets {
		report, err := b.static.Check(ctx, target)
		if err != nil {
			return broken, err
		}
		lines := b.brokenIn(report)
		if live && len(lines) == 0 {
			if report, err = b.live.Check(ctx, target); err != nil {
				return broken, err
			}
			lines = b.brokenIn(report)
		}
		broken = append(broken, lines...)
	}
	if live {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.asked = time.Since(began)
	}
	return broken, nil
}

// brokenIn says why paths are broken. What is so of a Service by itself isn't said again if it was said of what leads to it.
func (b *bypass) brokenIn(report *pathcheck.Report) []string {
	own := &pathcheck.Report{Target: report.Target}
	for _, path := range report.Paths {
		if b.concerns(&path) {
			own.Paths = append(own.Paths, path)
		}
	}
	lines := own.Broken()
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		path, cause, _ := strings.Cut(line, ": ")
		return !strings.Contains(path, arrow) && slices.ContainsFunc(lines, func(other string) bool {
			return strings.Contains(other, arrow) && strings.HasSuffix(other, ": "+cause)
		})
	})
}

func (b *bypass) concerns(path *pathcheck.Path) bool {
	number, _, _ := strings.Cut(path.Port, " ")
	return len(b.ports) == 0 || number == "" ||
		slices.ContainsFunc(b.ports, func(port uint16) bool { return strconv.Itoa(int(port)) == number })
}

// known returns what was last found, and since when it has been so.
func (b *bypass) known() (broken []string, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken, b.since
}

// note takes note of what was found, and reports whether paths have broken, or been mended, by that.
func (b *bypass) note(broken []string) (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = broken
	if changed = b.since.IsZero() == (len(broken) > 0); !changed {
		return false
	}
	b.since = time.Time{}
	if len(broken) > 0 {
		b.since = time.Now()
	}
	return true
}

// atEnd returns what is broken now that there is no bypass any more, or what was when that was last looked at if it can't be
// found out before ctx ends. Live hops are asked only if that took little time before.
func (b *bypass) atEnd(ctx context.Context) []string {
	b.mu.Lock()
	live := b.asked > 0 && b.asked < endPatience/2
	b.mu.Unlock()
	broken, err := b.look(ctx, live)
	if len(broken) == 0 && (err != nil || !live) {
		broken, _ = b.known()
	}
	return broken
}

// told is what others are told of it.
func (b *bypass) told() *livesession.Bypass {
	broken, since := b.known()
	if len(broken) == 0 {
		return nil
	}
	return &livesession.Bypass{Since: since, Paths: broken}
}

// bypasses says of broken paths, one each, that something is, or was, a bypass of them, and what that means. Why they are
// broken comes last: that may be long.
func (r *report) bypasses(what, means string, broken []string) {
	for i, line := range broken {
		if i == saidPaths {
			r.warns("%s of %d more paths", what, len(broken)-i)
			return
		}
		r.warns("%s; %s: %s", what, means, line)
	}
}

// endOfBypass returns a context for looking at paths when a session has ended: for a short time, and until a second
// interrupt.
func endOfBypass(ctx context.Context, interrupts *Interrupts) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	go func() {
		select {
		case <-interrupts.twice():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// verifyCommand is the command that shows paths of a Service.
func (c *cluster) verifyCommand(service string) string {
	return "kubectl velo verify svc/" + service + " -n " + c.namespace + c.flags
}
