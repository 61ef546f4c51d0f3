// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/kubectl-velo/kubectl-velo/examples/shop/internal/serve"
)

func TestHandler(t *testing.T) {
	inner := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})
	h := serve.Handler(slog.New(slog.DiscardHandler), "pod-1", inner)

	tests := map[string]struct {
		path string
		want int
	}{
		"probe":         {"/healthz", http.StatusOK},
		"anything else": {"/some/where", http.StatusTeapot},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, tc.path, http.NoBody))
			if rec.Code != tc.want {
				t.Errorf("status %d, want %d", rec.Code, tc.want)
			}
			if got := rec.Header().Get("X-Served-By"); got != "pod-1" {
				t.Errorf("X-Served-By %q, want pod-1", got)
			}
		})
	}
}

// A request that is being answered when the order to stop comes still gets its
// answer, and Listener returns only then.
func TestListenerFinishesRequests(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stop()
		for { // answer only once the listener is closed
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
			if err != nil {
				break
			}
			_ = conn.Close()
		}
		_, _ = io.WriteString(w, "late")
	})
	done := make(chan error, 1)
	go func() { done <- serve.Listener(ctx, slog.New(slog.DiscardHandler), ln, slow) }()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "late" {
		t.Errorf("got %q, %v, want late", body, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Listener: %v", err)
	}
}

func TestHTTPAddressInUse(t *testing.T) {
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if err := serve.HTTP(t.Context(), slog.New(slog.DiscardHandler), ln.Addr().String(), http.NotFoundHandler()); err == nil {
		t.Error("HTTP on an address in use returned nil")
	}
}
