// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// streamKind says what a stream is for; it is a stream's first byte.
type streamKind uint8

const (
	controlStream streamKind = 1
	reverseStream streamKind = 2
)

const streamHeaderSize = 3

// taken is what the laptop's end writes on a reverse stream once the local process has the connection.
const taken = 0x01

// What travels on the control stream.
const (
	drainRequest = 'D'
	drainAnswer  = 'd'
)

// resetCode says why a stream was reset.
type resetCode uint32

const (
	resetRefused   resetCode = 1 // nothing accepts connections at the local port
	resetDraining  resetCode = 2 // the session is ending
	resetPort      resetCode = 3 // the session doesn't take this port
	resetMalformed resetCode = 4 // the header can't be understood
	resetBroken    resetCode = 5 // the connection behind the stream was reset
)

var errStreamKind = errors.New("a stream of unknown kind")

// streamHeader is what the end that opens a stream writes first.
type streamHeader struct {
	kind streamKind
	port uint16
}

func (h streamHeader) append(buf []byte) []byte {
	return binary.BigEndian.AppendUint16(append(buf, byte(h.kind)), h.port)
}

func readStreamHeader(r io.Reader) (streamHeader, error) {
	var buf [streamHeaderSize]byte
	if _, err := io.ReadFull(r, buf[:]); err != nil {
		return streamHeader{}, err
	}
	h := streamHeader{kind: streamKind(buf[0]), port: binary.BigEndian.Uint16(buf[1:])}
	switch h.kind {
	case controlStream, reverseStream:
		return h, nil
	default:
		return streamHeader{}, fmt.Errorf("%w: %d", errStreamKind, h.kind)
	}
}
