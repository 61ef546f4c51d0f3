// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"net"
	"slices"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/mux"
)

// stream is one connection inside the tunnel.
type stream struct{ *mux.Stream }

// reset ends both directions at once and tells the other end why.
func (s stream) reset(code resetCode) { s.Reset(uint32(code)) }

func (s stream) pass(take func(net.Buffers)) error {
	if err := s.AwaitData(); err != nil {
		return err
	}
	data, err := s.Take(relayBuffer)
	if len(data) > 0 {
		defer mux.Free(slices.Clone(data)) // take empties it
		take(data)
	}
	return err
}

func (s stream) abort() { s.reset(resetBroken) }

// refusedBySession reports whether the other end has said, by resetting a stream, that it doesn't take it.
func refusedBySession(err error) bool {
	e, ok := errors.AsType[*mux.ResetError](err)
	return ok && e.Remote
}
