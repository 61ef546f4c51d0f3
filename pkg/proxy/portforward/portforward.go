// SPDX-License-Identifier: Apache-2.0

// Package portforward is a transport of the tunnel: one port-forward to a pod, through the Kubernetes API server. It
// needs nothing but what a kubeconfig grants, the right to pods/portforward.
//
// It asks for WebSocket first and for SPDY where the server, or something before it, doesn't speak that: the same
// order, for the same reasons, as kubectl port-forward.
package portforward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	kubeportforward "k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
)

// errorLimit bounds what is read of the reason a server gives for ending a port-forward.
const errorLimit = 4 << 10

// reasonTimeout is how long the server's reason for a failure may come after the failure.
const reasonTimeout = 200 * time.Millisecond

// Transport dials one port of one pod.
type Transport struct {
	config *rest.Config
	url    *url.URL
	pod    string // namespace/name
	port   uint16
}

// New returns a transport to port on the loopback of a pod. The client is the one for the core API group.
func New(config *rest.Config, client rest.Interface, namespace, pod string, port uint16) *Transport {
	return &Transport{
		config: config,
		url: client.Post().Namespace(namespace).Resource("pods").Name(pod).
			SubResource("portforward").URL(),
		pod:  namespace + "/" + pod,
		port: port,
	}
}

// Dial opens the port-forward. The connection has no deadlines; to end its reads and writes, close it.
func (t *Transport) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := t.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("port-forwarding to pod %s: %w", t.pod, err)
	}
	return conn, nil
}

func (t *Transport) dial(ctx context.Context) (net.Conn, error) {
	up, err := t.upgradeWebSocket(ctx)
	if httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) {
		up, err = t.upgradeSPDY(ctx)
	}
	if err != nil {
		return nil, err
	}
	type opened struct {
		conn net.Conn
		err  error
	}
	opening := make(chan opened, 1)
	// Creating a stream waits for the server's answer, up to 30 s, even on a connection that has been closed. So the wait goes
	// on without anybody when ctx ends; it holds nothing then.
	go func() {
		conn, err := t.openStreams(up)
		opening <- opened{conn, err}
	}()
	select {
	case o := <-opening:
		if o.err != nil {
			up.close()
		}
		return o.conn, o.err
	case <-ctx.Done():
		up.close()
		return nil, context.Cause(ctx)
	}
}

// upgraded is a connection to the API server after its upgrade.
type upgraded struct {
	streams httpstream.Connection
	// socket is what the streams' bytes go over. Closing it ends pending writes, which closing streams would wait for.
	socket io.Closer
}

func (u upgraded) close() {
	// The connection is given up: how that goes doesn't matter any more.
	if u.socket != nil {
		_ = u.socket.Close()
	}
	_ = u.streams.Close()
}

// openStreams opens the two streams of one forwarded connection, as the API server wants them: first the one that
// errors arrive at, then the one for data.
func (t *Transport) openStreams(up upgraded) (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(int(t.port)))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	failure, err := up.streams.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("opening the error stream: %w", err)
	}
	_ = failure.Close() // this end sends nothing on it
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := up.streams.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("opening the data stream: %w", err)
	}
	c := &conn{up: up, data: data, pod: t.pod, failed: make(chan struct{})}
	go c.awaitFailure(failure)
	return c, nil
}

// conn is one forwarded connection.
type conn struct {
	up    upgraded
	data  httpstream.Stream
	pod   string
	close sync.Once

	failed  chan struct{} // closed once the error stream has ended
	failure error         // what it said, if anything; read after failed
}

// awaitFailure hears why the server ends the connection; Close ends it.
func (c *conn) awaitFailure(stream io.Reader) {
	defer close(c.failed)
	message, err := io.ReadAll(io.LimitReader(stream, errorLimit))
	if err == nil && len(message) > 0 {
		c.failure = errors.New(string(message))
		c.up.close()
	}
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.data.Read(p)
	return n, c.explain(err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.data.Write(p)
	return n, c.explain(err)
}

// explain prefers the server's reason to what it looks like from here.
func (c *conn) explain(err error) error {
	if err == nil {
		return nil
	}
	reason := time.NewTimer(reasonTimeout)
	defer reason.Stop()
	select {
	case <-c.failed:
		if c.failure != nil {
			return c.failure
		}
	case <-reason.C:
	}
	return err
}

// Close ends the port-forward and whatever waits for it.
func (c *conn) Close() error {
	c.close.Do(c.up.close)
	<-c.failed
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return address("localhost") }
func (c *conn) RemoteAddr() net.Addr { return address(c.pod) }

func (c *conn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *conn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *conn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// address names one side of a port-forward.
type address string

func (address) Network() string  { return kubeportforward.PortForwardProtocolV1Name }
func (a address) String() string { return string(a) }
