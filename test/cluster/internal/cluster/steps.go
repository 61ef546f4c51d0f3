// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Steps reports progress, one line per step: what was done and how long it took. Several steps may run at once.
type Steps struct {
	mu sync.Mutex
	w  io.Writer
}

// NewSteps reports to w.
func NewSteps(w io.Writer) *Steps { return &Steps{w: w} }

func (s *Steps) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, format+"\n", args...)
}

// Do runs one step and reports its end.
func (s *Steps) Do(what string, f func() error) error {
	start := time.Now()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.printf("✔ %s %.1fs", what, time.Since(start).Seconds())
	return nil
}

// DoLong is Do for a step long enough that people want to know before it ends what they wait for.
func (s *Steps) DoLong(what, expect string, f func() error) error {
	s.printf("► %s (%s)", what, expect)
	return s.Do(what, f)
}
