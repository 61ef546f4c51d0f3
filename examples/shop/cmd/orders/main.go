// SPDX-License-Identifier: Apache-2.0

// Command orders is the service that the shop's website asks: GET /orders
// answers with the latest orders as JSON. It listens on PORT (8080) of ADDRESS
// (every address).
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/kubectl-velo/kubectl-velo/examples/shop/internal/serve"
)

const defaultPort = "8080"

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, log)
	stop()
	if err != nil {
		log.Error("orders ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	addr := net.JoinHostPort(os.Getenv("ADDRESS"), cmp.Or(os.Getenv("PORT"), defaultPort))
	return serve.HTTP(ctx, log, addr, serve.Handler(log, host, handler(host)))
}

type order struct {
	ID       int    `json:"id"`
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
}

type list struct {
	Host   string  `json:"host"`
	Orders []order `json:"orders"`
}

func handler(host string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		// Encoding a list of plain values fails only if the client has gone.
		_ = json.NewEncoder(w).Encode(list{Host: host, Orders: []order{
			{ID: 1041, Item: "Enamel teapot", Quantity: 1},
			{ID: 1042, Item: "Linen apron", Quantity: 2},
			{ID: 1043, Item: "Walnut chopping board", Quantity: 1},
		}})
	})
	return mux
}
