// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	defaultPort = "21458"
	// patience is how long the page waits for its dependencies, all of which
	// it asks at the same time.
	patience = time.Second
)

//go:embed index.html
var indexHTML string

type config struct {
	host      string // that answers
	listen    string // host:port
	ordersURL string
	redisURL  string
	greeting  string
	hasToken  bool // the token itself is not kept
	patience  time.Duration
}

func configFrom(host string, getenv func(string) string) config {
	return config{
		host:      host,
		listen:    net.JoinHostPort(getenv("ADDRESS"), cmp.Or(getenv("PORT"), defaultPort)),
		ordersURL: getenv("ORDERS_URL"),
		redisURL:  getenv("REDIS_URL"),
		greeting:  getenv("GREETING"),
		hasToken:  getenv("API_TOKEN") != "",
		patience:  patience,
	}
}

// site is the page and what it needs to answer. Its methods may be called
// concurrently.
type site struct {
	config config
	orders ordersClient
	views  *viewCounter
	page   *template.Template
}

func newSite(c config) (*site, error) {
	page, err := template.New("index").Parse(indexHTML)
	if err != nil {
		return nil, fmt.Errorf("parsing the page: %w", err)
	}
	views, err := newViewCounter(c.redisURL)
	if err != nil {
		return nil, err
	}
	return &site{config: c, orders: newOrdersClient(c.ordersURL), views: views, page: page}, nil
}

func (s *site) close(log *slog.Logger) {
	if err := s.views.close(); err != nil {
		log.Warn("closing the redis client", "error", err)
	}
}

func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if wantsJSON(r) {
			s.writeJSON(w, r)
			return
		}
		s.writeHTML(w, r)
	})
	mux.HandleFunc("GET /api", s.writeJSON)
	return mux
}

func wantsJSON(r *http.Request) bool {
	if f := r.URL.Query().Get("format"); f != "" {
		return f == "json"
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// answer is one visit's findings. As JSON it is one flat object of strings.
type answer struct {
	Host     string `json:"host"`     // that answered
	Orders   string `json:"orders"`   // "3 orders from HOST", or "unreachable: WHY"
	Redis    string `json:"redis"`    // "page view 7", or "unreachable: WHY"
	Greeting string `json:"greeting"` // GREETING, possibly empty
	Token    string `json:"apiToken"` // "given" or "missing"

	OrderList     []order `json:"-"`
	OrdersUp      bool    `json:"-"`
	RedisUp       bool    `json:"-"`
	TokenProvided bool    `json:"-"`
}

func (s *site) ask(ctx context.Context) answer {
	ctx, cancel := context.WithTimeout(ctx, s.config.patience)
	defer cancel()
	a := answer{
		Host:          s.config.host,
		Greeting:      s.config.greeting,
		Token:         "missing",
		TokenProvided: s.config.hasToken,
	}
	if s.config.hasToken {
		a.Token = "given"
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		list, err := s.orders.latest(ctx)
		if err != nil {
			a.Orders = "unreachable: " + reason(err)
			return
		}
		a.OrdersUp, a.OrderList = true, list.Orders
		noun := "orders"
		if len(list.Orders) == 1 {
			noun = "order"
		}
		a.Orders = fmt.Sprintf("%d %s from %s", len(list.Orders), noun, list.Host)
	})
	wg.Go(func() {
		n, err := s.views.count(ctx)
		if err != nil {
			a.Redis = "unreachable: " + reason(err)
			return
		}
		a.RedisUp = true
		a.Redis = fmt.Sprintf("page view %d", n)
	})
	wg.Wait()
	return a
}

func (s *site) writeJSON(w http.ResponseWriter, r *http.Request) {
	setHeaders(w, "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// Encoding plain strings fails only if the client has gone.
	_ = enc.Encode(s.ask(r.Context())) //nolint:gosec // G117: it says "given" or "missing", never the token
}

func (s *site) writeHTML(w http.ResponseWriter, r *http.Request) {
	var page strings.Builder
	if err := s.page.Execute(&page, s.ask(r.Context())); err != nil {
		http.Error(w, "rendering the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	setHeaders(w, "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")
	// A client that has gone needs no answer.
	_, _ = w.Write([]byte(page.String()))
}

func setHeaders(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
