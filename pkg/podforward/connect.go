// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"context"
	"io"

	"k8s.io/client-go/rest"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/portforward"
)

// Connector connects to pods.
type Connector interface {
	Connect(ctx context.Context, pod string) (Connection, error)
}

// Connection is a connection to a pod, which any number of callers share; see [portforward.Connection].
type Connection interface {
	Open(ctx context.Context, port uint16) (Stream, error)
	Ping(ctx context.Context) error
	Done() <-chan struct{}
	Close() error
}

// Stream is one caller's part of a connection; see [portforward.Stream].
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Cluster connects to the pods of a namespace. Client is the one for the core API group.
type Cluster struct {
	Config    *rest.Config
	Client    rest.Interface
	Namespace string
}

// Connect opens a port-forward.
func (c *Cluster) Connect(ctx context.Context, pod string) (Connection, error) {
	up, err := portforward.NewDialer(c.Config, c.Client, c.Namespace, pod).Connect(ctx)
	if err != nil {
		return nil, err
	}
	return connection{up}, nil
}

// connection opens streams as an interface.
type connection struct{ *portforward.Connection }

func (c connection) Open(ctx context.Context, port uint16) (Stream, error) {
	s, err := c.Connection.Open(ctx, port)
	if err != nil {
		return nil, err
	}
	return s, nil
}
