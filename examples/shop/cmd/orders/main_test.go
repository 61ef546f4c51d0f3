// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOrders(t *testing.T) {
	rec := httptest.NewRecorder()
	handler("orders-1").ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/orders", http.NoBody))
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d", rec.Code)
	}
	if got := rec.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	var got list
	if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Host != "orders-1" {
		t.Errorf("host %q, want orders-1", got.Host)
	}
	if len(got.Orders) == 0 || got.Orders[0].ID == 0 || got.Orders[0].Item == "" {
		t.Errorf("orders %+v, want some with ID and item", got.Orders)
	}
}

func TestElsewhere(t *testing.T) {
	rec := httptest.NewRecorder()
	handler("orders-1").ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	if rec.Code != http.StatusNotFound {
		t.Errorf("status %d, want 404", rec.Code)
	}
}
