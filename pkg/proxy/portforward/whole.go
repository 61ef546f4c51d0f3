// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"encoding/binary"
	"net"
)

const (
	// frameHeader is the size of the header that every SPDY/3 frame has, data or control, and lengthMask the part of its
	// second half that is the length of what follows; see section 2.2 of the SPDY protocol, draft 3.
	frameHeader = 8
	lengthMask  = 1<<24 - 1
)

// wholeFrames writes frames to a connection as a whole. Their framer writes each of them in up to nine pieces, and every
// piece would be a message of WebSocket and a record of TLS. Only one goroutine writes at a time.
type wholeFrames struct {
	net.Conn

	begun []byte // a frame that isn't complete
}

func (w *wholeFrames) Write(p []byte) (int, error) {
	w.begun = append(w.begun, p...)
	whole := 0
	for {
		rest := w.begun[whole:]
		if len(rest) < frameHeader {
			break
		}
		size := frameHeader + int(binary.BigEndian.Uint32(rest[4:])&lengthMask)
		if len(rest) < size {
			break
		}
		whole += size
	}
	if whole == 0 {
		return len(p), nil
	}
	_, err := w.Conn.Write(w.begun[:whole])
	w.begun = append(w.begun[:0], w.begun[whole:]...)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}
