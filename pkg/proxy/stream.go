// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/mux"
)

// stream is one connection inside the tunnel.
type stream struct{ *mux.Stream }

// reset ends both directions at once and tells the other end why.
func (s stream) reset(code resetCode) { s.Reset(uint32(code)) }

func (s stream) abort() { s.reset(resetBroken) }

// refusedBySession reports whether the other end has said, by resetting a stream, that it doesn't take it.
func refusedBySession(err error) bool {
	e, ok := errors.AsType[*mux.ResetError](err)
	return ok && e.Remote
}
