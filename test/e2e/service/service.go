// SPDX-License-Identifier: Apache-2.0

// Package service is the service that end-to-end tests intercept: the same in a pod and on the test's own machine, told
// apart only by its name. Every part of it answers in a way that shows a byte lost, doubled or out of order.
package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

// Listeners are where a service listens. Those that are nil it does without.
type Listeners struct {
	// HTTP answers / with who answers, and the paths of [Handler].
	HTTP net.Listener
	// Echo gives back what it gets.
	Echo net.Listener
	// Digest reads until its caller has ended its side, and only then answers: with the SHA-256 of what it read, in
	// hex, and a mebibyte of [Bytes].
	Digest net.Listener
	// Datagrams gives back what it gets, after the service's name and a colon.
	Datagrams net.PacketConn
}

// DigestBytes is how much of [Bytes] a digest is followed by.
const DigestBytes = 1 << 20

// Serve runs the service until ctx ends.
func Serve(ctx context.Context, name string, l Listeners) error {
	g, ctx := errgroup.WithContext(ctx)
	if l.HTTP != nil {
		server := &http.Server{Handler: Handler(name), ReadHeaderTimeout: 10 * time.Second}
		g.Go(func() error {
			if err := server.Serve(l.HTTP); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		context.AfterFunc(ctx, func() { _ = server.Close() })
	}
	for _, s := range []struct {
		listener net.Listener
		serve    func(*net.TCPConn)
	}{{l.Echo, echo}, {l.Digest, digest}} {
		if s.listener != nil {
			g.Go(func() error { return accept(s.listener, s.serve) })
			context.AfterFunc(ctx, func() { _ = s.listener.Close() })
		}
	}
	if l.Datagrams != nil {
		g.Go(func() error { return datagrams(name, l.Datagrams) })
		context.AfterFunc(ctx, func() { _ = l.Datagrams.Close() })
	}
	return g.Wait()
}

// Who is what / answers.
type Who struct {
	Host string `json:"host"`
	// Request is the caller's number for its request, from the header of that name.
	Request string `json:"request,omitempty"`
}

// Received is what /sha256 answers.
type Received struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Handler serves HTTP:
//
//	/           who answers, as JSON
//	/sha256     the length and SHA-256 of the request's body
//	/bytes?n=N  N bytes of [Bytes]
//	/barrier?n=N&id=ID  answers once N requests with that ID are there
//	/ws         a WebSocket that gives messages back
func Handler(name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, Who{Host: name, Request: r.Header.Get("Request")})
	})
	mux.HandleFunc("POST /sha256", func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, Received{n, hex.EncodeToString(hash.Sum(nil))})
	})
	mux.HandleFunc("GET /bytes", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		_, _ = io.Copy(w, Bytes(n)) // the caller counts
	})
	mux.Handle("GET /barrier", &barriers{})
	mux.HandleFunc("GET /ws", echoMessages)
	return mux
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the caller decodes
}

// barriers hold requests until as many as they ask for are there.
type barriers struct {
	mu     sync.Mutex
	counts map[string]int
	full   map[string]chan struct{}
}

func (b *barriers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("id")
	n, err := strconv.Atoi(r.FormValue("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-b.arrive(id, n):
		answer(w, Who{Request: id})
	case <-r.Context().Done():
	}
}

func (b *barriers) arrive(id string, n int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full == nil {
		b.counts, b.full = make(map[string]int), make(map[string]chan struct{})
	}
	if b.full[id] == nil {
		b.full[id] = make(chan struct{})
	}
	b.counts[id]++
	if b.counts[id] == n {
		close(b.full[id])
	}
	return b.full[id]
}

func echoMessages(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer conn.Close()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := conn.WriteMessage(kind, message); err != nil {
			return
		}
	}
}

func accept(l net.Listener, serve func(*net.TCPConn)) error {
	var g errgroup.Group
	defer func() { _ = g.Wait() }() // its functions return no errors
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		g.Go(func() error {
			defer conn.Close()
			serve(conn.(*net.TCPConn))
			return nil
		})
	}
}

func echo(conn *net.TCPConn) {
	_, _ = io.Copy(conn, conn) // the caller compares
}

func digest(conn *net.TCPConn) {
	hash := sha256.New()
	if _, err := io.Copy(hash, conn); err != nil {
		return
	}
	_, _ = io.WriteString(conn, hex.EncodeToString(hash.Sum(nil)))
	_, _ = io.Copy(conn, Bytes(DigestBytes))
}

func datagrams(name string, conn net.PacketConn) error {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		_, _ = conn.WriteTo(append([]byte(name+":"), buf[:n]...), from)
	}
}

// Bytes returns n bytes that look random and are always the same.
func Bytes(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte([]byte("kubectl velo end-to-end testing!"))), n)
}
