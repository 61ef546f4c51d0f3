// SPDX-License-Identifier: Apache-2.0

package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/server"
)

// A Load is what the benchmark's own client does. Its process runs where the caller of the work is.
type Load struct {
	Kind  string        `json:"kind"`
	URL   string        `json:"url"`            // of the server's root, without a slash at its end
	Host  string        `json:"host,omitempty"` // header, if it is another than the URL's
	Bytes int64         `json:"bytes,omitempty"`
	Count int           `json:"count,omitempty"`
	For   time.Duration `json:"for,omitempty"`
}

// Kinds of load.
const (
	kindDownload = "download" // Count bodies of Bytes at once, at most For
	kindUpload   = "upload"   // one body of Bytes, at most For
	kindLatency  = "latency"  // small requests for a time of For, alone and then during a download
	kindFresh    = "fresh"    // Count requests, each on a new connection
	kindIdle     = "idle"     // Count connections that do nothing after a first request, until stdin ends
	// KindServed tells who answers.
	KindServed = "served"
)

const (
	// chunk is how much is read and written at once.
	chunk = 256 << 10
	// patience is how long a small request may take.
	patience = 30 * time.Second
)

var errAnswer = errors.New("unexpected answer")

// Do does it.
func (l Load) Do(ctx context.Context) (Sample, error) {
	if _, err := url.Parse(l.URL); err != nil {
		return Sample{}, err
	}
	switch l.Kind {
	case kindDownload:
		return l.transfer(ctx, l.Count, l.download)
	case kindUpload:
		return l.transfer(ctx, 1, l.upload)
	case kindLatency:
		return l.latency(ctx)
	case kindFresh:
		return l.fresh(ctx)
	case kindIdle:
		return l.idle(ctx)
	case KindServed:
		return l.served(ctx)
	default:
		return Sample{}, fmt.Errorf("no kind of load %q", l.Kind)
	}
}

// client is one with connections of its own.
func client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:        (&net.Dialer{Timeout: patience}).DialContext,
			DisableCompression: true,
		},
	}
}

func (l Load) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, l.URL+path, body)
	if err != nil {
		return nil, err
	}
	r.Host = l.Host
	return r, nil
}

// small sends one small request.
func (l Load) small(ctx context.Context, c *http.Client) (served string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := l.request(ctx, http.MethodGet, server.SmallPath, nil)
	if err != nil {
		return "", err
	}
	response, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK || n != server.SmallSize {
		return "", fmt.Errorf("%w: %s with %d bytes", errAnswer, response.Status, n)
	}
	return response.Header.Get(server.NameHeader), nil
}

func (l Load) served(ctx context.Context) (Sample, error) {
	c := client()
	defer c.CloseIdleConnections()
	by, err := l.small(ctx, c)
	return Sample{By: by}, err
}

// fresh measures requests one after the other, each from dialling to its last byte.
func (l Load) fresh(ctx context.Context) (Sample, error) {
	var times []float64
	var failed int
	for range l.Count {
		c := client()
		began := time.Now()
		_, err := l.small(ctx, c)
		took := time.Since(began)
		c.CloseIdleConnections()
		if ctx.Err() != nil {
			return Sample{}, ctx.Err()
		}
		if err != nil {
			failed++
			continue
		}
		times = append(times, took.Seconds())
	}
	if len(times) == 0 {
		return Sample{}, fmt.Errorf("%w: every request has failed", errAnswer)
	}
	return Sample{Figures: map[string]float64{P50: Quantile(times, 0.5)}, Errors: failed}, nil
}

// opening is how many connections are opened at a time.
const opening = 50

// idle opens connections, and has each of them carry a small request. They stay open until the process ends.
func (l Load) idle(ctx context.Context) (Sample, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(opening)
	var failed atomic.Int64
	for range l.Count {
		g.Go(func() error {
			c := client()
			if _, err := l.small(ctx, c); err != nil {
				failed.Add(1)
			}
			return ctx.Err()
		})
	}
	err := g.Wait()
	return Sample{Errors: int(failed.Load())}, err
}

// transfer has count transfers at once, and measures the bytes from the first dialling to the last byte. Those that are
// not through when the time is over count as far as they came.
func (l Load) transfer(ctx context.Context, count int, one func(context.Context, *atomic.Int64) error) (Sample, error) {
	limited, cancel := context.WithTimeout(ctx, l.For)
	defer cancel()
	var bytes atomic.Int64
	var g errgroup.Group
	began := time.Now()
	for range count {
		g.Go(func() error { return one(limited, &bytes) })
	}
	err := g.Wait()
	took := time.Since(began)
	if ctx.Err() != nil {
		return Sample{}, ctx.Err()
	}
	if err != nil && limited.Err() == nil {
		return Sample{}, err
	}
	return Sample{Figures: map[string]float64{Rate: float64(bytes.Load()) / took.Seconds()}}, nil
}

func (l Load) download(ctx context.Context, count *atomic.Int64) error {
	c := client()
	defer c.CloseIdleConnections()
	r, err := l.request(ctx, http.MethodGet, server.BytesPath+"?n="+strconv.FormatInt(l.Bytes, 10), nil)
	if err != nil {
		return err
	}
	response, err := c.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errAnswer, response.Status)
	}
	buffer := make([]byte, chunk)
	var got int64
	for {
		n, err := response.Body.Read(buffer)
		got += int64(n)
		count.Add(int64(n))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if got != l.Bytes {
		return fmt.Errorf("%w: %d bytes instead of %d", errAnswer, got, l.Bytes)
	}
	return nil
}

func (l Load) upload(ctx context.Context, count *atomic.Int64) error {
	c := client()
	defer c.CloseIdleConnections()
	r, err := l.request(ctx, http.MethodPut, server.DiscardPath, &source{left: l.Bytes, count: count})
	if err != nil {
		return err
	}
	r.ContentLength = l.Bytes
	response, err := c.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return err
	}
	if string(answer) != strconv.FormatInt(l.Bytes, 10) {
		return fmt.Errorf("%w: %s: %q", errAnswer, response.Status, answer)
	}
	return nil
}

// source is a body of zeros that counts what is taken of it.
type source struct {
	left  int64
	count *atomic.Int64
}

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), s.left)
	clear(p[:n])
	s.left -= n
	s.count.Add(n)
	return int(n), nil
}

// probers send the small requests, each on a connection of its own, with a pause between two. Together they come often
// enough to see what few requests meet with.
const (
	probers = 8
	pause   = 20 * time.Millisecond
)

// latency measures small requests on connections that are open, alone and during a download.
func (l Load) latency(ctx context.Context) (Sample, error) {
	clients := make([]*http.Client, probers)
	defer func() {
		for _, c := range clients {
			c.CloseIdleConnections()
		}
	}()
	var opened errgroup.Group
	for i := range clients {
		clients[i] = client()
		opened.Go(func() error {
			_, err := l.small(ctx, clients[i])
			return err
		})
	}
	if err := opened.Wait(); err != nil {
		return Sample{}, err
	}
	idle, failed, err := l.probe(ctx, clients)
	if err != nil {
		return Sample{}, err
	}
	loaded, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	var bytes atomic.Int64
	g.Go(func() error {
		for loaded.Err() == nil {
			if err := l.download(loaded, &bytes); err != nil && loaded.Err() == nil {
				return err
			}
		}
		return nil
	})
	// Once it flows.
	for bytes.Load() < l.Bytes/16 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	busy, more, err := l.probe(ctx, clients)
	cancel()
	if err := errors.Join(err, g.Wait()); err != nil {
		return Sample{}, err
	}
	return Sample{
		Figures: map[string]float64{
			IdleP50: Quantile(idle, 0.5), IdleP99: Quantile(idle, 0.99),
			AddedP50: Quantile(busy, 0.5) - Quantile(idle, 0.5),
			AddedP99: Quantile(busy, 0.99) - Quantile(idle, 0.99),
		},
		Errors: failed + more,
	}, nil
}

// probe sends small requests for a while and returns how long each took.
func (l Load) probe(ctx context.Context, clients []*http.Client) (times []float64, failed int, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	end := time.Now().Add(l.For)
	for i, c := range clients {
		group.Go(func() {
			time.Sleep(pause * time.Duration(i) / probers)
			for time.Now().Before(end) && ctx.Err() == nil {
				began := time.Now()
				_, err := l.small(ctx, c)
				took := time.Since(began)
				mu.Lock()
				if err != nil {
					failed++
				} else {
					times = append(times, took.Seconds())
				}
				mu.Unlock()
				time.Sleep(pause)
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil, 0, ctx.Err()
	}
	if len(times) == 0 {
		return nil, 0, fmt.Errorf("%w: every small request has failed", errAnswer)
	}
	return times, failed, nil
}
