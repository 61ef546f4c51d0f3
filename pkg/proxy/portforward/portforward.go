// SPDX-License-Identifier: Apache-2.0

// Package portforward is the way to a pod that every kubeconfig has: a port-forward through the Kubernetes API server. It
// needs nothing but the right to pods/portforward.
//
// It asks for WebSocket first and for SPDY where the server, or something before it, doesn't speak that: the same
// order, for the same reasons, as kubectl port-forward.
//
// A [Connection] is one upgraded connection to a pod, and carries any number of forwarded connections, a [Stream] each. As
// a transport of the tunnel, a [Transport] dials a connection for one stream alone.
//
// What always holds: the end of one stream, however it comes about, ends no other. Streams have no flow control, though:
// one that nobody reads from stops all of its connection, so that whoever opens several has to read from all of them.
package portforward

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"k8s.io/client-go/rest"
	kubeportforward "k8s.io/client-go/tools/portforward"
)

// Transport dials one port of one pod.
type Transport struct {
	dialer *Dialer
	port   uint16
}

// New returns a transport to port on the loopback of a pod. The client is the one for the core API group.
func New(config *rest.Config, client rest.Interface, namespace, pod string, port uint16) *Transport {
	return &Transport{dialer: NewDialer(config, client, namespace, pod), port: port}
}

// Dial opens the port-forward. The connection has no deadlines; to end its reads and writes, close it.
func (t *Transport) Dial(ctx context.Context) (net.Conn, error) {
	up, err := t.dialer.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s, err := up.Open(ctx, t.port)
	if err != nil {
		_ = up.Close() // there is nothing else that it is for
		return nil, fmt.Errorf("port-forwarding to pod %s: %w", t.dialer.pod, err)
	}
	return &conn{Stream: s, up: up, pod: t.dialer.pod}, nil
}

// Dialer connects to one pod.
type Dialer struct {
	config *rest.Config
	url    *url.URL
	pod    string // namespace/name
}

// NewDialer returns a dialer for a pod. The client is the one for the core API group.
func NewDialer(config *rest.Config, client rest.Interface, namespace, pod string) *Dialer {
	return &Dialer{
		config: config,
		url: client.Post().Namespace(namespace).Resource("pods").Name(pod).
			SubResource("portforward").URL(),
		pod: namespace + "/" + pod,
	}
}

// conn is the one stream of a connection.
type conn struct {
	*Stream

	up  *Connection
	pod string
}

// Close ends the port-forward and whatever waits for it.
func (c *conn) Close() error {
	err := c.up.Close()
	_ = c.Stream.Close() // over with its connection
	return err
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
