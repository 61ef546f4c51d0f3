// SPDX-License-Identifier: Apache-2.0

// Package server is the service that is measured: the same program in the cluster's pod and on the laptop.
package server

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// SmallPath answers with a body of SmallSize.
	SmallPath = "/small"
	// SmallSize is in bytes.
	SmallSize = 1 << 10
	// BytesPath answers with as many bytes as its parameter n says.
	BytesPath = "/bytes"
	// DiscardPath reads a body to its end and answers with its length.
	DiscardPath = "/discard"
	// ConnectionsPath answers with the number of connections that are open.
	ConnectionsPath = "/connections"
	// NameHeader tells who answers.
	NameHeader = "Served-By"
)

// chunk is how much is written and read at once.
const chunk = 256 << 10

// Handler answers under a name. One that refuses answers everything with an error: it stands where no request is to
// arrive.
func Handler(name string, refuse bool, connections *atomic.Int64) http.Handler {
	var key [32]byte
	data := make([]byte, chunk)
	_, _ = rand.NewChaCha8(key).Read(data) // it never fails
	mux := http.NewServeMux()
	mux.HandleFunc(SmallPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(SmallSize))
		_, _ = w.Write(data[:SmallSize]) // who has gone away needs no answer
	})
	mux.HandleFunc(BytesPath, func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		if err != nil || n < 0 {
			http.Error(w, "n is not a number of bytes", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		for n > 0 {
			written, err := w.Write(data[:min(n, chunk)])
			if err != nil {
				return
			}
			n -= int64(written)
		}
	})
	mux.HandleFunc(DiscardPath, func(w http.ResponseWriter, r *http.Request) {
		buffer := make([]byte, chunk)
		var n int64
		for {
			read, err := r.Body.Read(buffer)
			n += int64(read)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		_, _ = io.WriteString(w, strconv.FormatInt(n, 10))
	})
	mux.HandleFunc(ConnectionsPath, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strconv.FormatInt(connections.Load(), 10))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(NameHeader, name)
		if refuse {
			http.Error(w, "nobody was to come here", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Serve answers on a listener until ctx ends.
func Serve(ctx context.Context, listener net.Listener, name string, refuse bool) error {
	var connections atomic.Int64
	server := &http.Server{
		Handler:           Handler(name, refuse, &connections),
		ReadHeaderTimeout: time.Hour, // idle connections are measured
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				connections.Add(-1)
			default:
			}
		},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
