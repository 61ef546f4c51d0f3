// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	viewsKey       = "shop:views"
	maxOrdersBytes = 1 << 20
	maxReasonRunes = 80
)

var (
	errNoOrdersURL  = errors.New("ORDERS_URL is not set")
	errNoRedisURL   = errors.New("REDIS_URL is not set")
	errBadRedisURL  = errors.New("REDIS_URL is not of the form redis://HOST:PORT")
	errOrdersStatus = errors.New("HTTP status")
)

type order struct {
	ID       int    `json:"id"`
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
}

type orderList struct {
	Host   string  `json:"host"`
	Orders []order `json:"orders"`
}

type ordersClient struct {
	url    string
	client *http.Client
}

func newOrdersClient(rawURL string) ordersClient {
	return ordersClient{url: rawURL, client: &http.Client{Timeout: 2 * patience}}
}

func (c ordersClient) latest(ctx context.Context) (orderList, error) {
	if c.url == "" {
		return orderList{}, errNoOrdersURL
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, http.NoBody)
	if err != nil {
		return orderList{}, fmt.Errorf("asking orders: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return orderList{}, fmt.Errorf("asking orders: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return orderList{}, fmt.Errorf("%w %d", errOrdersStatus, resp.StatusCode)
	}
	var list orderList
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxOrdersBytes)).Decode(&list); err != nil {
		return orderList{}, fmt.Errorf("reading orders: %w", err)
	}
	return list, nil
}

// viewCounter counts in redis. Its zero value has no redis to count in.
type viewCounter struct{ client *redis.Client }

// newViewCounter connects to nothing yet. Its error does not repeat rawURL,
// which may hold a password.
func newViewCounter(rawURL string) (*viewCounter, error) {
	if rawURL == "" {
		return &viewCounter{}, nil
	}
	opts, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, errBadRedisURL
	}
	opts.Protocol = 2
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opts.ContextTimeoutEnabled = true
	opts.DialTimeout = patience
	opts.DialerRetries = 1
	opts.MaxRetries = 1
	opts.MaxRetryBackoff = 50 * time.Millisecond
	return &viewCounter{client: redis.NewClient(opts)}, nil
}

func (v *viewCounter) count(ctx context.Context) (int64, error) {
	if v.client == nil {
		return 0, errNoRedisURL
	}
	n, err := v.client.Incr(ctx, viewsKey).Result()
	if err != nil {
		return 0, fmt.Errorf("counting the view: %w", err)
	}
	return n, nil
}

func (v *viewCounter) close() error {
	if v.client == nil {
		return nil
	}
	return v.client.Close()
}

// reason says in a few words, for the page, why a dependency gave no answer.
func reason(err error) string {
	var (
		dns    *net.DNSError
		netErr net.Error
		urlErr *url.Error
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host: " + dns.Name
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		return "no answer in time"
	case errors.As(err, &urlErr):
		err = urlErr.Err // without the URL
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	if r := []rune(first); len(r) > maxReasonRunes {
		return string(r[:maxReasonRunes-1]) + "…"
	}
	return first
}
