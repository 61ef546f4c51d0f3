// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestAbandoned(t *testing.T) {
	const grace = 30 * time.Second
	tests := []struct {
		name string
		// on are the times at which there is a session, from and until since the start.
		on   [][2]time.Duration
		want []time.Duration // when Abandoned was called
	}{
		{"never a session", nil, []time.Duration{grace}},
		{"a session that stays", [][2]time.Duration{{time.Second, time.Hour}}, nil},
		{"back within the grace", [][2]time.Duration{{0, time.Minute}, {89 * time.Second, time.Hour}}, nil},
		{"gone", [][2]time.Duration{{0, time.Minute}}, []time.Duration{time.Minute + grace}},
		{"gone twice", [][2]time.Duration{{0, time.Minute}, {2 * time.Minute, 3 * time.Minute}}, []time.Duration{time.Minute + grace, 3*time.Minute + grace}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var calls []time.Duration
				p := New(Config{Grace: grace, Log: slog.New(slog.DiscardHandler), Abandoned: func(ctx context.Context) {
					calls = append(calls, time.Since(start))
					<-ctx.Done() // as long as it takes
				}})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				done := make(chan struct{})
				go func() {
					defer close(done)
					p.watchSession(ctx)
				}()
				for _, on := range test.on {
					time.Sleep(on[0] - time.Since(start))
					s := &session{connected: t.Context()}
					p.change(func() { p.session = s })
					time.Sleep(min(on[1], 9*time.Minute) - time.Since(start))
					if on[1] < 9*time.Minute {
						p.drainSession(s)
					}
				}
				<-done
				if len(calls) != len(test.want) {
					t.Fatalf("called at %v, want %v", calls, test.want)
				}
				for i := range calls {
					if calls[i] != test.want[i] {
						t.Errorf("called at %v, want %v", calls, test.want)
					}
				}
			})
		})
	}
}
