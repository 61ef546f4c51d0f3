// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"net"
)

// Transport makes connections that the tunnel can run over.
type Transport interface {
	// Dial connects to the proxy's tunnel listener. The connection needs no deadlines of its own but must end its
	// pending reads and writes when it is closed.
	Dial(ctx context.Context) (net.Conn, error)
}
