// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollEvery is how often a condition is looked at that can't be watched.
const pollEvery = 50 * time.Millisecond

// A final error is one that waiting longer does not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// await returns once check does without error, or with a final one. After timeout it returns the last error, naming
// what was waited for.
func await(ctx context.Context, what string, timeout time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if errors.As(err, new(final)) {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return fmt.Errorf("waiting for %s: %w", what, cause)
			}
			return fmt.Errorf("waiting for %s: not within %s: %w", what, timeout, err)
		}
	}
}
