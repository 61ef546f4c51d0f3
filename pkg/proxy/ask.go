// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
)

// Peer is what a traffic-proxy says about itself.
type Peer struct {
	// Version is the program's own, or "" of one that doesn't say it.
	Version string
	// Protocol is the version of the tunnel's protocol that it speaks.
	Protocol int
}

// Ask asks a proxy for its versions, over a new connection of transport. It needs none of the proxy's session and leaves it
// alone. Proxies of every version answer.
func Ask(ctx context.Context, transport Transport, version string) (Peer, error) {
	conn, err := transport.Dial(ctx)
	if err != nil {
		return Peer{}, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	a, err := greet(conn, hello{Version: version})
	if other, ok := errors.AsType[*VersionError](err); ok {
		return Peer{Version: other.Program, Protocol: other.Protocol}, nil
	}
	// One from before this question refuses it, which is an answer as well.
	if err != nil && !errors.Is(err, ErrRejected) {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return Peer{}, err
	}
	return Peer{Version: a.Version, Protocol: ProtocolVersion}, nil
}
