// SPDX-License-Identifier: Apache-2.0

// Package serve runs the HTTP servers of the shop: it listens, says which host
// answers, logs each request, and ends in order when its context does.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	readHeaderTimeout = 5 * time.Second
	writeTimeout      = 15 * time.Second
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 8 * time.Second
)

// HTTP listens on addr (host:port, an empty host means every address) and
// serves h until ctx is done. It then stops accepting, gives requests in flight
// 8 seconds to finish, and returns nil if they did.
func HTTP(ctx context.Context, log *slog.Logger, addr string, h http.Handler) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", addr, err)
	}
	return Listener(ctx, log, ln, h)
}

// Listener is HTTP on a listener that is already open; it closes ln.
func Listener(ctx context.Context, log *slog.Logger, ln net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	log.Info("listening", "address", ln.Addr().String())

	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	log.Info("shutting down")
	// ctx has ended already; the farewell needs time of its own.
	farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := srv.Shutdown(farewell)
	if err != nil {
		err = errors.Join(fmt.Errorf("finishing requests in flight: %w", err), srv.Close())
	}
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// Handler adds to h what both servers have: GET /healthz for probes, the header
// X-Served-By with the name of the host that answered, and one log line for
// each request that is not a probe. Header values and bodies are not logged.
func Handler(log *slog.Logger, host string, h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		// A client that has gone needs no answer.
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		h.ServeHTTP(w, r)
		log.Info("answered", "method", r.Method, "path", r.URL.Path, "took", time.Since(start).Round(time.Millisecond))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Served-By", host)
		mux.ServeHTTP(w, r)
	})
}
