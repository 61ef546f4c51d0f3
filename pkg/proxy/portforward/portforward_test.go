// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	kubeportforward "k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// The ports of the fake node's pods.
const (
	echoPort   = "80"
	closedPort = "81"
	silentPort = "82"
	resetPort  = "83"
)

// fakeNode is an API server without WebSocket whose pods' ports do what they are called.
type fakeNode struct {
	*httptest.Server

	mu       sync.Mutex
	upgraded []net.Conn
}

func newFakeNode(t *testing.T) *fakeNode {
	t.Helper()
	n := &fakeNode{}
	n.Server = httptest.NewUnstartedServer(http.HandlerFunc(n.serve))
	n.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateHijacked {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.upgraded = append(n.upgraded, c)
		}
	}
	n.StartTLS()
	t.Cleanup(func() {
		n.cut()
		n.Close()
	})
	return n
}

func (n *fakeNode) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		http.Error(w, "no WebSocket here", http.StatusBadRequest)
		return
	case strings.Contains(r.URL.Path, "/forbidden/"):
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(apierrors.NewForbidden(corev1.Resource("pods"), "forbidden", errors.New("no")).Status())
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{kubeportforward.PortForwardProtocolV1Name}); err != nil {
		return
	}
	type opened struct {
		httpstream.Stream

		replied <-chan struct{}
	}
	streams := make(chan opened, 1)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, replied <-chan struct{}) error {
		streams <- opened{s, replied}
		return nil
	})
	if conn == nil {
		return
	}
	halves := make(map[string]opened)
	for {
		select {
		case <-conn.CloseChan():
			return
		case s := <-streams:
			id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
			other, ok := halves[id]
			if !ok {
				halves[id] = s
				continue
			}
			if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				s, other = other, s
			}
			go func() {
				<-s.replied
				<-other.replied
				forward(s, other)
			}()
		}
	}
}

func forward(data, failure httpstream.Stream) {
	defer data.Close()
	defer failure.Close()
	switch data.Headers().Get(corev1.PortHeader) {
	case echoPort:
		_, _ = io.Copy(data, data)
	case closedPort:
		_, _ = fmt.Fprint(failure, "error forwarding port 81 to pod x, uid : dial tcp4 127.0.0.1:81: connect: connection refused")
		_ = data.Reset()
		_ = failure.Reset()
	case silentPort:
		_, _ = io.Copy(io.Discard, data)
	case resetPort:
		_, _ = fmt.Fprint(data, "part")
		_ = data.Reset()
	}
}

// cut breaks all connections, below what could still say goodbye.
func (n *fakeNode) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.upgraded {
		_ = conn.(*tls.Conn).NetConn().Close()
	}
	n.CloseClientConnections()
}

func (n *fakeNode) dialer(t *testing.T, pod string) *Dialer {
	t.Helper()
	config := &rest.Config{Host: n.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true, NextProtos: []string{"http/1.1"}}}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return NewDialer(config, client.CoreV1().RESTClient(), "shop", pod)
}

func (n *fakeNode) connect(t *testing.T) *Connection {
	t.Helper()
	c, err := n.dialer(t, "web").Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func open(t *testing.T, c *Connection, port uint16) *Stream {
	t.Helper()
	s, err := c.Open(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func exchange(t *testing.T, s io.ReadWriter, message string) {
	t.Helper()
	if _, err := io.WriteString(s, message); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(message))
	if _, err := io.ReadFull(s, got); err != nil || string(got) != message {
		t.Fatalf("read %q, %v, want %q", got, err, message)
	}
}

// One connection carries many streams, and the end of one, in whichever way, ends no other.
func TestStreams(t *testing.T) {
	c := newFakeNode(t).connect(t)
	lasting := open(t, c, 80)
	for i := range 20 {
		s := open(t, c, 80)
		exchange(t, s, fmt.Sprint("message ", i))
		if i%2 == 0 {
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("it has ended with %v", err)
			}
		}
		_ = s.Close()
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading what is closed: %v", err)
		}
		exchange(t, lasting, fmt.Sprint("still there ", i))
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.streams) != 1 {
		t.Errorf("%d streams are kept, want 1", len(c.streams))
	}
}

// That nobody listens is told, and harms no other stream.
func TestRefused(t *testing.T) {
	c := newFakeNode(t).connect(t)
	other := open(t, c, 80)
	s := open(t, c, 81)
	defer s.Close()
	_, err := s.Read(make([]byte, 1))
	if failure, ok := errors.AsType[*StreamError](err); !ok || !failure.Refused() {
		t.Errorf("reading: %v, want a refusal", err)
	}
	exchange(t, other, "still there")
}

// A connection that breaks is told from a pod that ends.
func TestCut(t *testing.T) {
	n := newFakeNode(t)
	c := n.connect(t)
	s := open(t, c, 80)
	exchange(t, s, "hello")
	n.cut()
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, ErrCut) {
		t.Errorf("reading: %v, want ErrCut", err)
	}
	<-c.Done()
	if _, err := c.Open(t.Context(), 80); !errors.Is(err, ErrCut) {
		t.Errorf("opening: %v, want ErrCut", err)
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Error("it answers")
	}
}

// What the node resets without a reason has not come to its end, even if this side had.
func TestReset(t *testing.T) {
	c := newFakeNode(t).connect(t)
	for _, half := range []bool{false, true} {
		s := open(t, c, 83)
		if half {
			_ = s.CloseWrite() // it may be reset already
		}
		if got, err := io.ReadAll(s); !errors.Is(err, ErrCut) || string(got) != "part" {
			t.Errorf("read %q, %v, want ErrCut", got, err)
		}
		_ = s.Close()
	}
	exchange(t, open(t, c, 80), "still there")
}

// Closing a connection ends whatever waits for it.
func TestClose(t *testing.T) {
	c := newFakeNode(t).connect(t)
	s := open(t, c, 82)
	read := make(chan error, 1)
	go func() {
		_, err := s.Read(make([]byte, 1))
		read <- err
	}()
	_ = c.Close()
	_ = c.Close()
	if err := <-read; err == nil {
		t.Error("reading goes on")
	}
}

// As a transport of the tunnel it is one connection for one stream.
func TestTransport(t *testing.T) {
	n := newFakeNode(t)
	conn, err := (&Transport{dialer: n.dialer(t, "web"), port: 80}).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, "hello")
	_ = conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("reading goes on")
	}
}

// What the API server says is its error still.
func TestForbidden(t *testing.T) {
	_, err := newFakeNode(t).dialer(t, "forbidden").Connect(t.Context())
	if !apierrors.IsForbidden(err) {
		t.Errorf("Connect: %v, want forbidden", err)
	}
}

// A server that doesn't answer is given up with the context.
func TestConnectTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := &fakeNode{Server: &httptest.Server{URL: "https://" + l.Addr().String()}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := n.dialer(t, "web").Connect(ctx); err == nil {
		t.Error("it has connected")
	}
}

func TestStreamErrorRefused(t *testing.T) {
	tests := []struct {
		name, message string
		want          bool
	}{
		{"containerd 1", `failed to execute portforward in network namespace "/x": failed to connect to localhost:81 inside namespace "y", IPv4: dial tcp4 127.0.0.1:81: connect: connection refused IPv6 dial tcp6: address localhost: no suitable address found `, true},
		{"containerd 2", `failed to execute portforward in network namespace "/x": IPv4: dial tcp4 127.0.0.1:81: connect: connection refused IPv6: dial tcp6 [::1]:81: connect: connection refused`, true},
		{"containerd, pod gone", `failed to find sandbox "x" in store: not found`, true},
		{"containerd, namespace gone", `network namespace for sandbox "x" is closed`, true},
		{"CRI-O", `failed to connect to localhost:81 inside namespace x: dial tcp [::1]:81: connect: connection refused`, true},
		{"socat", `exit status 1: 2026/01/02 socat[1] E connect(5, AF=2 127.0.0.1:81, 16): Connection refused`, true},
		{"broken by the program", `failed to execute portforward for "x" port 80: read tcp4 127.0.0.1:1->127.0.0.1:80: read: connection reset by peer`, false},
		{"broken while writing", `write tcp4 127.0.0.1:1->127.0.0.1:80: write: broken pipe`, false},
		{"anything else", "something new", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (&StreamError{tt.message}).Refused(); got != tt.want {
				t.Errorf("Refused is %v", got)
			}
		})
	}
}
