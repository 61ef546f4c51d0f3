// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/e2e/service"
)

// Load is what a load has seen.
type Load struct {
	Sent     int            `json:"sent"`
	Failed   int            `json:"failed"`
	Answered map[string]int `json:"answered"` // by host
	Failures []string       `json:"failures,omitempty"`
}

// failuresKept bounds the failures a load tells of; it counts all.
const failuresKept = 20

type loadCounter struct {
	mu sync.Mutex
	Load
}

func (l *loadCounter) sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Sent++
	return l.Sent
}

func (l *loadCounter) done(host string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.Answered[host]++
		return
	}
	l.Failed++
	if len(l.Failures) < failuresKept {
		l.Failures = append(l.Failures, time.Now().UTC().Format("15:04:05.000 ")+err.Error())
	}
}

// load sends numbered requests over some connections, until it has sent enough, and checks every answer.
func load(ctx context.Context, stdin io.Reader, flags *flag.FlagSet, args []string) (any, error) {
	url := flags.String("url", "", "URL to get")
	count := flags.Int("count", 0, "how many each caller sends (default: until standard input ends)")
	duration := flags.Duration("for", 0, "how long to send, instead of until standard input ends")
	kept := flags.Int("kept", 0, "connections that are kept alive")
	fresh := flags.Int("fresh", 0, "callers that open a connection for each request")
	timeout := flags.Duration("timeout", 10*time.Second, "how long an answer may take")
	pause := flags.Duration("pause", 2*time.Millisecond, "pause between two requests of a caller")
	_ = flags.Parse(args) // it exits
	sending, stop := context.WithCancel(ctx)
	defer stop()
	switch {
	case *duration > 0:
		sending, stop = context.WithTimeout(sending, *duration)
		defer stop()
	case *count == 0:
		go func() {
			defer stop()
			_, _ = io.Copy(io.Discard, stdin)
		}()
	}
	counter := &loadCounter{Load: Load{Answered: make(map[string]int)}}
	var callers sync.WaitGroup
	for i := range *kept + *fresh {
		client := &http.Client{
			Timeout:   *timeout,
			Transport: &http.Transport{DisableKeepAlives: i >= *kept},
		}
		callers.Go(func() {
			defer client.CloseIdleConnections()
			for n := 0; sending.Err() == nil && (*count == 0 || n < *count); n++ {
				number := strconv.Itoa(counter.sent())
				host, err := get(ctx, client, *url, number)
				counter.done(host, err)
				select {
				case <-sending.Done():
				case <-time.After(*pause):
				}
			}
		})
	}
	callers.Wait()
	return counter.Load, nil
}

func get(ctx context.Context, client *http.Client, url, number string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Request", number)
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var who service.Who
	if err := json.NewDecoder(response.Body).Decode(&who); err != nil {
		return "", fmt.Errorf("request %s: %w", number, err)
	}
	if response.StatusCode != http.StatusOK || who.Request != number {
		return "", fmt.Errorf("request %s: %w: status %d, for request %q", number, errUnexpected, response.StatusCode, who.Request)
	}
	return who.Host, nil
}
