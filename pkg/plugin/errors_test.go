// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-velo/kubectl-velo/pkg/selector"
	"github.com/kubectl-velo/kubectl-velo/pkg/trafficproxy"
)

func TestPrintErrorAndExitCode(t *testing.T) {
	plain := errors.New("it is broken")
	services := corev1.Resource("services")
	refused := &url.Error{Op: "Get", URL: "https://127.0.0.1:1", Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}}
	timeout := fmt.Errorf("%w after 1m0s", errTimeout)
	tests := []struct {
		name string
		err  error
		want string
		code int
	}{
		{name: "none", code: 0},
		{name: "plain", err: plain, want: "error: it is broken\n", code: 1},
		{
			name: "NotFound of the API", err: fmt.Errorf("reading service shop/cart: %w", apierrors.NewNotFound(services, "cart")),
			want: "error: reading service shop/cart: error from server (NotFound): services \"cart\" not found\n", code: 1,
		},
		{
			name: "Forbidden of the API", err: apierrors.NewForbidden(services, "cart", errors.New("you may not")),
			want: "error from server (Forbidden): services \"cart\" is forbidden: you may not\n", code: 1,
		},
		{
			name: "Unauthorized of the API", err: fmt.Errorf("listing services: %w", apierrors.NewUnauthorized("Unauthorized")),
			want: "error: listing services: error from server (Unauthorized): Unauthorized\nhint: log in to the cluster again\n", code: 1,
		},
		{
			name: "joined", err: errors.Join(plain, fmt.Errorf("reading it: %w", apierrors.NewNotFound(services, "cart"))),
			want: "error: it is broken\nerror: reading it: error from server (NotFound): services \"cart\" not found\n", code: 1,
		},
		{
			name: "joined, with hints", err: errors.Join(withHint(plain, "mend it"), errors.Join(usageErrorf("bad flag"), plain)),
			want: "error: it is broken\nhint: mend it\nerror: bad flag\nhint: see 'kubectl velo status --help'\nerror: it is broken\n", code: 2,
		},
		{
			name: "several wrapped in one", err: fmt.Errorf("service shop/cart: %w: %w", selector.ErrAnnotation, plain),
			want: "error: service shop/cart: annotation kubectl-velo.github.io/intercept can't be understood: it is broken\n", code: 1,
		},
		{
			name: "several wrapped in one, joined", err: errors.Join(nil, fmt.Errorf("service shop/cart: %w: %w", selector.ErrAnnotation, plain)),
			want: "error: service shop/cart: annotation kubectl-velo.github.io/intercept can't be understood: it is broken\n", code: 1,
		},
		{name: "hint", err: withHint(plain, "run '%s'", "it again"), want: "error: it is broken\nhint: run 'it again'\n", code: 1},
		{name: "hint, wrapped", err: fmt.Errorf("doing so: %w", withHint(plain, "mend it")), want: "error: doing so: it is broken\nhint: mend it\n", code: 1},
		{
			name: "hint of another package", err: &trafficproxy.StartError{Object: "pod shop/x", Reason: "ErrImagePull", Message: "not found"},
			want: "error: pod shop/x can't start: ErrImagePull: not found\n" +
				"hint: name an image that the cluster can pull with --proxy-image or VELO_PROXY_IMAGE\n", code: 1,
		},
		{name: "usage", err: usageErrorf("bad %s", "flag"), want: "error: bad flag\nhint: see 'kubectl velo status --help'\n", code: 2},
		{name: "usage, with a hint", err: withHint(usageErrorf("bad flag"), "mend it"), want: "error: bad flag\nhint: mend it\n", code: 2},
		{name: "usage, wrapped", err: fmt.Errorf("reading it: %w", usageErrorf("bad flag")), want: "error: reading it: bad flag\nhint: see 'kubectl velo status --help'\n", code: 2},
		{name: "timeout", err: timeout, want: "error: timed out after 1m0s\n", code: 124},
		{name: "timeout of something", err: fmt.Errorf("%w: %w", timeout, plain), want: "error: timed out after 1m0s: it is broken\n", code: 124},
		{
			name: "not reached", err: fmt.Errorf("listing services: %w", refused),
			want: "error: listing services: Get \"https://127.0.0.1:1\": dial tcp: connection refused\n" +
				"hint: is the cluster up, and the kubeconfig's context the right one? Try 'kubectl cluster-info'\n", code: 1,
		},
		{name: "command", err: &commandError{3}, want: "", code: 3},
		{name: "command, and more", err: errors.Join(&commandError{3}, timeout, usageErrorf("no")), want: "error: timed out after 1m0s\nerror: no\nhint: see 'kubectl velo status --help'\n", code: 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err != nil {
				var b strings.Builder
				printError(&b, "kubectl velo status", tt.err)
				if got := b.String(); got != tt.want {
					t.Errorf("printed is\n%s\nwant\n%s", got, tt.want)
				}
			}
			if got := exitCode(tt.err); got != tt.code {
				t.Errorf("exitCode = %d, want %d", got, tt.code)
			}
		})
	}
}

func TestTimedOut(t *testing.T) {
	plain := errors.New("it is broken")
	over, cancel := context.WithTimeoutCause(t.Context(), -1, fmt.Errorf("%w after 1s", errTimeout))
	defer cancel()
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want string
		code int
	}{
		{"in time", t.Context(), plain, "it is broken", exitFailure},
		{"interrupted", interrupted, plain, "it is broken", exitFailure},
		{"over", over, plain, "timed out after 1s: it is broken", exitTimeout},
		{"over, and says so", over, fmt.Errorf("waiting: %w", context.Cause(over)), "waiting: timed out after 1s", exitTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := timedOut(tt.ctx, tt.err)
			if err == nil || err.Error() != tt.want || !errors.Is(err, tt.err) || exitCode(err) != tt.code {
				t.Errorf("timedOut = %v with exit code %d, want %q with %d", err, exitCode(err), tt.want, tt.code)
			}
		})
	}
	if err := timedOut(over, nil); err != nil {
		t.Errorf("timedOut makes %v of no error", err)
	}
}
