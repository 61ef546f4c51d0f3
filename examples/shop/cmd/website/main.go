// SPDX-License-Identifier: Apache-2.0

// Command website is the shop's front page. It asks the orders service and
// counts its page views in redis, and says on the page what it heard from
// either and which host answered.
//
// Its environment, as in the manifests:
//
//	PORT        where to listen (21458)
//	ADDRESS     on which address (every one)
//	ORDERS_URL  the orders service, e.g. http://orders:8080/orders
//	REDIS_URL   redis, e.g. redis://redis:6379
//	GREETING    a sentence for the top of the page
//	API_TOKEN   a secret; the page tells whether there is one, never its value
//
// All of it may be missing: the page then says so and is served all the same.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/kubectl-velo/kubectl-velo/examples/shop/internal/serve"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	redis.SetLogger(quietRedis{log})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, log)
	stop()
	if err != nil {
		log.Error("website ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	c := configFrom(host, os.Getenv)
	s, err := newSite(c)
	if err != nil {
		return err
	}
	defer s.close(log)
	return serve.HTTP(ctx, log, c.listen, serve.Handler(log, host, s.handler()))
}

// quietRedis moves what the redis client says about lost connections to the
// debug level: the page says it already.
type quietRedis struct{ log *slog.Logger }

// Printf is what the redis client calls.
func (q quietRedis) Printf(ctx context.Context, format string, v ...any) {
	q.log.DebugContext(ctx, "the redis client says", "what", fmt.Sprintf(format, v...))
}
