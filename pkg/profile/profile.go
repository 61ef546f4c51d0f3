// SPDX-License-Identifier: Apache-2.0

// Package profile lets a process be profiled from outside, by anyone in its network namespace. Only builds with the tag
// profile, which the benchmark has made for itself, import it.
//
// HTTP is served at the abstract Unix socket @velo-profile-PID, PID being that in the process's own PID namespace:
//
//	POST /cpu/start  begins a profile of the processors' time; 409 if one is under way
//	POST /cpu/stop   ends it and answers with it; 409 if none is under way
//	GET  /heap       collects garbage, and answers with a profile of what is left
package profile

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

// Serve serves profiles of this process. It returns only if it can't.
func Serve() error {
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", fmt.Sprintf("@velo-profile-%d", os.Getpid()))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newHandler(), ReadHeaderTimeout: time.Second}
	return server.Serve(l)
}

func newHandler() http.Handler {
	c := &cpu{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /cpu/start", c.start)
	mux.HandleFunc("POST /cpu/stop", c.stop)
	mux.HandleFunc("GET /heap", heap)
	return mux
}

// cpu is the profile of the processors' time. There is one at a time in a process.
type cpu struct {
	mu      sync.Mutex
	profile *bytes.Buffer // nil if none is under way
}

func (c *cpu) start(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	profile := &bytes.Buffer{}
	if err := pprof.StartCPUProfile(profile); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	c.profile = profile
	w.WriteHeader(http.StatusNoContent)
}

func (c *cpu) stop(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.profile == nil {
		http.Error(w, "no profile is under way", http.StatusConflict)
		return
	}
	pprof.StopCPUProfile()
	_, _ = w.Write(c.profile.Bytes()) // who has gone meanwhile needs it no more
	c.profile = nil
}

func heap(w http.ResponseWriter, _ *http.Request) {
	runtime.GC()
	_ = pprof.Lookup("heap").WriteTo(w, 0) // as above
}
