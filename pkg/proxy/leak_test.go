// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
)

// footprint is what a process holds.
type footprint struct {
	goroutines, files int
	heap              uint64
}

func footprintNow(t *testing.T) footprint {
	t.Helper()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	f := footprint{goroutines: runtime.NumGoroutine(), heap: memory.HeapInuse}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	f.files = len(files)
	return f
}

// After 100 sessions, and 10,000 connections, each end holds what it held before.
func TestNothingAccumulates(t *testing.T) {
	sessions, connections := 100, 100
	if testing.Short() {
		sessions, connections = 10, 10
	}
	s := startProxy(t)
	local := startServer(t, "local")
	run := func(sessions, connections int) {
		for range sessions {
			ctx, stop := context.WithCancel(t.Context())
			tunnel, err := Connect(ctx, s.tunnel, Session{ID: testSession, Grace: testGrace, Local: map[uint16]string{s.port: local.Addr().String()}})
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- tunnel.Serve(ctx) }()
			eventually(t, "the session", func() bool { return s.hasSession() })
			for range connections {
				conn := s.dialOnly(t)
				wantAnswer(t, exchange(t, conn, []byte("hello")), "local", []byte("hello"))
				conn.Close()
			}
			stop()
			if err := <-served; err != nil {
				t.Error(err)
			}
			eventually(t, "the session's end", func() bool { return !s.hasSession() })
		}
	}
	run(2, 20) // pools fill, lazily made things are made
	before := footprintNow(t)
	run(sessions, connections)
	const slack = 4 << 20 // of memory that pools keep
	var after footprint
	t.Cleanup(func() { t.Logf("before %+v, after %+v", before, after) })
	eventually(t, "everything to be given back", func() bool {
		after = footprintNow(t)
		return after.goroutines <= before.goroutines && after.files <= before.files && after.heap <= before.heap+slack
	})
}
