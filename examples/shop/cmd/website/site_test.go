// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const secret = "do-not-show-me"

func TestJSON(t *testing.T) {
	s := testSite(t, map[string]string{
		"ORDERS_URL": ordersServer(t, http.StatusOK, `{"host":"orders-1","orders":[{"id":7,"item":"Mug","quantity":3}]}`),
		"REDIS_URL":  "redis://" + redisServer(t),
		"GREETING":   "Good morning & welcome",
		"API_TOKEN":  secret,
	})
	want := map[string]string{
		"host":     "laptop",
		"orders":   "1 order from orders-1",
		"greeting": "Good morning & welcome",
		"apiToken": "given",
	}

	tests := map[string]struct{ path, accept, views string }{
		"accept":    {"/", "application/json", "page view 1"},
		"parameter": {"/?format=json", "text/html", "page view 2"},
		"path":      {"/api", "", "page view 3"},
	}
	for _, name := range []string{"accept", "parameter", "path"} { // in order, for the page views
		tc := tests[name]
		t.Run(name, func(t *testing.T) {
			rec := get(t, s, tc.path, tc.accept)
			if got := rec.Header().Get("Content-Type"); got != "application/json" {
				t.Fatalf("Content-Type %q", got)
			}
			if strings.Contains(rec.Body.String(), secret) {
				t.Error("the answer holds the API token")
			}
			var got map[string]string // flat, strings only
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			want["redis"] = tc.views
			if len(got) != len(want) {
				t.Errorf("got fields %v, want %v", got, want)
			}
			for field, v := range want {
				if got[field] != v {
					t.Errorf("%s is %q, want %q", field, got[field], v)
				}
			}
		})
	}
}

func TestHTML(t *testing.T) {
	s := testSite(t, map[string]string{
		"ORDERS_URL": ordersServer(t, http.StatusOK, `{"host":"orders-1","orders":[{"id":7,"item":"<b>Mug</b>","quantity":3}]}`),
		"REDIS_URL":  "redis://" + redisServer(t),
		"GREETING":   "Good morning",
		"API_TOKEN":  secret,
	})
	rec := get(t, s, "/", "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8")
	if got := rec.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/html") {
		t.Fatalf("Content-Type %q", got)
	}
	body := rec.Body.String()
	for _, want := range []string{"laptop", "Good morning", "1 order from orders-1", "&lt;b&gt;Mug", "page view 1", "given"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(body, secret) {
		t.Error("the page holds the API token")
	}
}

func TestDependenciesUnreachable(t *testing.T) {
	silent, closed := silentServer(t), closedPort(t)
	tests := map[string]struct {
		env           map[string]string
		orders, redis string
	}{
		"not set": {
			env:    map[string]string{},
			orders: "unreachable: ORDERS_URL is not set",
			redis:  "unreachable: REDIS_URL is not set",
		},
		"refused": {
			env:    map[string]string{"ORDERS_URL": "http://" + closed, "REDIS_URL": "redis://" + closed},
			orders: "unreachable: connection refused",
			redis:  "unreachable: connection refused",
		},
		"silent": {
			env:    map[string]string{"ORDERS_URL": "http://" + silent, "REDIS_URL": "redis://" + silent},
			orders: "unreachable: no answer in time",
			redis:  "unreachable: no answer in time",
		},
		"error from orders": {
			env:    map[string]string{"ORDERS_URL": ordersServer(t, http.StatusServiceUnavailable, "")},
			orders: "unreachable: HTTP status 503",
			redis:  "unreachable: REDIS_URL is not set",
		},
		"orders in another language": {
			env:    map[string]string{"ORDERS_URL": ordersServer(t, http.StatusOK, "<html>")},
			orders: "unreachable: reading orders: invalid character '<' looking for beginning of value",
			redis:  "unreachable: REDIS_URL is not set",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := testSite(t, tc.env)
			s.config.patience = 200 * time.Millisecond
			start := time.Now()
			var got answer
			if err := json.Unmarshal(get(t, s, "/api", "").Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got.Orders != tc.orders {
				t.Errorf("orders %q, want %q", got.Orders, tc.orders)
			}
			if got.Redis != tc.redis {
				t.Errorf("redis %q, want %q", got.Redis, tc.redis)
			}
			if took := time.Since(start); took > patience {
				t.Errorf("took %v", took)
			}
			if html := get(t, s, "/", "text/html").Body.String(); !strings.Contains(html, "unreachable: ") {
				t.Error("the page does not say that something is unreachable")
			}
		})
	}
}

func TestOnlyThePageIsServed(t *testing.T) {
	rec := httptest.NewRecorder()
	testSite(t, nil).handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/favicon.ico", http.NoBody))
	if rec.Code != http.StatusNotFound {
		t.Errorf("status %d, want 404", rec.Code)
	}
}

func TestConfigFrom(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want string
	}{
		"defaults":     {nil, ":21458"},
		"port":         {map[string]string{"PORT": "3002"}, ":3002"},
		"address":      {map[string]string{"ADDRESS": "127.0.0.1"}, "127.0.0.1:21458"},
		"IPv6 address": {map[string]string{"ADDRESS": "::1", "PORT": "3002"}, "[::1]:3002"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := configFrom("laptop", func(k string) string { return tc.env[k] }).listen; got != tc.want {
				t.Errorf("listens on %q, want %q", got, tc.want)
			}
		})
	}
}

func TestBadRedisURL(t *testing.T) {
	_, err := newSite(config{redisURL: "redis://:" + secret + "@bad host:x"})
	if err == nil {
		t.Fatal("no error")
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error repeats the password: %v", err)
	}
}

func testSite(t *testing.T, env map[string]string) *site {
	t.Helper()
	s, err := newSite(configFrom("laptop", func(k string) string { return env[k] }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close(slog.New(slog.NewTextHandler(t.Output(), nil))) })
	return s
}

func get(t *testing.T, s *site, path, accept string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	req.Header.Set("Accept", accept)
	rec := httptest.NewRecorder()
	s.handler().ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Fatalf("GET %s: status %d", path, rec.Code)
	}
	return rec
}

func ordersServer(t *testing.T, status int, body string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
