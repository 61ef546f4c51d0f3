// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-velo/kubectl-velo/test/e2e/service"
)

// Count is what a caller that checks for itself tells: how much of it was right.
type Count struct {
	Count int64 `json:"count"`
}

// transfer sends a large body, and gets one, and compares hashes.
func transfer(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
	url := flags.String("url", "", "URL of the service's root, without a slash at its end")
	size := flags.Int64("bytes", 100<<20, "size of the body each way")
	_ = flags.Parse(args) // it exits
	wanted, err := hashOf(service.Bytes(*size))
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, *url+"/sha256", service.Bytes(*size))
	if err != nil {
		return nil, err
	}
	request.ContentLength = *size
	up, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("sending: %w", err)
	}
	defer up.Body.Close()
	var received service.Received
	if err := json.NewDecoder(up.Body).Decode(&received); err != nil {
		return nil, fmt.Errorf("sending: %w", err)
	}
	if received != (service.Received{Bytes: *size, SHA256: wanted}) {
		return nil, fmt.Errorf("sending: %w: %+v", errUnexpected, received)
	}
	request, err = http.NewRequestWithContext(ctx, http.MethodGet, *url+"/bytes?n="+strconv.FormatInt(*size, 10), nil)
	if err != nil {
		return nil, err
	}
	down, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("receiving: %w", err)
	}
	defer down.Body.Close()
	got, err := hashOf(down.Body)
	if err != nil {
		return nil, fmt.Errorf("receiving: %w", err)
	}
	if got != wanted {
		return nil, fmt.Errorf("receiving: %w: hash %s instead of %s", errUnexpected, got, wanted)
	}
	return service.Received{Bytes: *size, SHA256: wanted}, nil
}

func hashOf(r io.Reader) (string, error) {
	hash := sha256.New()
	_, err := io.Copy(hash, r)
	return hex.EncodeToString(hash.Sum(nil)), err
}

// concurrent has many connections open at the same time: the service answers none before all are there.
func concurrent(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
	url := flags.String("url", "", "URL of the service's root, without a slash at its end")
	count := flags.Int("count", 200, "connections")
	_ = flags.Parse(args) // it exits
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	address := fmt.Sprintf("%s/barrier?n=%d&id=%d", *url, *count, time.Now().UnixNano())
	g, ctx := errgroup.WithContext(ctx)
	for range *count {
		g.Go(func() error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err != nil {
				return err
			}
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("%w: status %d", errUnexpected, response.StatusCode)
			}
			_, err = io.Copy(io.Discard, response.Body)
			return err
		})
	}
	return Count{int64(*count)}, g.Wait()
}

// digest ends its side before it is answered, and reads the whole answer.
func digest(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
	address := flags.String("address", "", "the service's digest port")
	size := flags.Int64("bytes", 1<<20, "how much to send")
	_ = flags.Parse(args) // it exits
	conn, err := dial(ctx, *address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := io.Copy(conn, service.Bytes(*size)); err != nil {
		return nil, err
	}
	if err := conn.CloseWrite(); err != nil {
		return nil, err
	}
	hash, err := hashOf(service.Bytes(*size))
	if err != nil {
		return nil, err
	}
	wanted, err := io.ReadAll(service.Bytes(service.DigestBytes))
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(got, append([]byte(hash), wanted...)) {
		return nil, fmt.Errorf("%w: %d bytes that differ", errUnexpected, len(got))
	}
	return Count{int64(len(got))}, nil
}

// echo sends and compares at the same time: some bytes, or, with --for, a few at a time for as long as that.
func echo(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
	address := flags.String("address", "", "the service's echo port")
	size := flags.Int64("bytes", 8<<20, "how much to send")
	duration := flags.Duration("for", 0, "how long to send, instead")
	_ = flags.Parse(args) // it exits
	conn, err := dial(ctx, *address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	content := service.Bytes(*size)
	if *duration > 0 {
		content = &lasting{Reader: service.Bytes(math.MaxInt64), until: time.Now().Add(*duration)}
	}
	sent := sha256.New()
	var count int64
	var sending errgroup.Group
	sending.Go(func() (err error) {
		if count, err = io.Copy(conn, io.TeeReader(content, sent)); err != nil {
			return err
		}
		return conn.CloseWrite()
	})
	got, err := hashOf(conn)
	if err := errors.Join(err, sending.Wait()); err != nil {
		return nil, err
	}
	if wanted := hex.EncodeToString(sent.Sum(nil)); got != wanted {
		return nil, fmt.Errorf("%w: hash %s instead of %s", errUnexpected, got, wanted)
	}
	return Count{count}, nil
}

// lasting reads a little at a time, until it is late.
type lasting struct {
	io.Reader
	until time.Time
}

func (l *lasting) Read(p []byte) (int, error) {
	if time.Now().After(l.until) {
		return 0, io.EOF
	}
	time.Sleep(time.Millisecond)
	return l.Reader.Read(p[:min(len(p), 4<<10)])
}

func dial(ctx context.Context, address string) (*net.TCPConn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	return conn.(*net.TCPConn), nil
}

// webSocket has messages of many sizes echoed.
func webSocket(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
	url := flags.String("url", "", "URL of the service's WebSocket")
	_ = flags.Parse(args) // it exits
	conn, response, err := websocket.DefaultDialer.DialContext(ctx, *url, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	defer conn.Close()
	var count int64
	for size := int64(1); size <= 1<<20; size *= 4 {
		message, err := io.ReadAll(service.Bytes(size))
		if err != nil {
			return nil, err
		}
		if err := conn.WriteMessage(websocket.BinaryMessage, message); err != nil {
			return nil, err
		}
		_, got, err := conn.ReadMessage()
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(got, message) {
			return nil, fmt.Errorf("%w: a message of %d bytes that differs", errUnexpected, len(got))
		}
		count++
	}
	return Count{count}, nil
}

// datagram sends a few datagrams until one is answered, as UDP may lose some, and tells by whom.
func datagram(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
	address := flags.String("address", "", "the service's UDP port")
	_ = flags.Parse(args) // it exits
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", *address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	buf := make([]byte, 1500)
	for try := range 10 {
		if _, err := fmt.Fprintf(conn, "try %d", try); err != nil {
			return nil, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return nil, err
		}
		n, err := conn.Read(buf)
		if err != nil {
			continue
		}
		host, said, _ := bytes.Cut(buf[:n], []byte(":"))
		return service.Who{Host: string(host), Request: string(said)}, nil
	}
	return nil, fmt.Errorf("%w: no answer", errUnexpected)
}
