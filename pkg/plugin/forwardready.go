// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-velo/kubectl-velo/pkg/podforward"
)

// firstPod returns the best pod of a target, and waits until it has one. With --all it returns none, and says that the target
// is left out.
func (s *forwardSession) firstPod(ctx context.Context, target *forwardTarget) (*corev1.Pod, error) {
	for {
		pods, err := target.Find(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking for the pods of %s: %w", target.Name, err)
		}
		if pod := bestPod(pods); pod != nil {
			return pod, nil
		}
		if s.options.all {
			s.report.warns("%s has no pods: it isn't forwarded", target.Name)
			return nil, nil
		}
		s.report.beginsOnce("waiting for %s: it has no pods", target.Name)
		s.explainLack(ctx, target)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for %s in namespace %s: it has no pods: %w", target.Name, s.namespace, context.Cause(ctx))
		case <-time.After(lookEvery):
		}
	}
}

// allPatience is how long --all waits for targets: of a whole namespace, some may never be ready.
const allPatience = 5 * time.Second

// await waits until all are ready, and with a COMMAND until they answer.
func (s *forwardSession) await(ctx context.Context) error {
	command := len(s.options.command) > 0
	waiting := ctx
	if s.options.all && !command {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, allPatience)
		defer cancel()
	}
	for _, target := range s.targets {
		err := s.awaitPool(waiting, target)
		if err != nil && (waiting.Err() == nil || ctx.Err() != nil) {
			return err // which is not for --all's patience alone
		}
	}
	if !command {
		return nil
	}
	for _, f := range s.forwards {
		if err := f.forward.Await(ctx); err != nil {
			return fmt.Errorf("waiting for an answer of %s: %w", f, err)
		}
	}
	return nil
}

// awaitPool waits until connections can be given to a pod. What the API server refuses, it will go on to refuse.
func (s *forwardSession) awaitPool(ctx context.Context, target *forwardTarget) error {
	for {
		changed := target.pool.Changed()
		status := target.pool.Status()
		switch {
		case status.State == podforward.Ready:
			return nil
		case apierrors.IsForbidden(status.Err), apierrors.IsUnauthorized(status.Err):
			return status.Err
		case time.Since(status.Since) > briefCut:
			s.report.beginsOnce("waiting for %s: %s", target.Name, status.Reason)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s in namespace %s: %s: %w", target.Name, s.namespace, status.Reason, context.Cause(ctx))
		}
	}
}
