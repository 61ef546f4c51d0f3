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
	controlStream  streamKind = 1
	reverseStream  streamKind = 2
	forwardStream  streamKind = 3 // a TCP connection
	datagramStream streamKind = 4 // a flow of UDP datagrams
)

// streamHeaderSize is the size of a header without its host.
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

	resetUnresolved  resetCode = 6 // the host has no address in the cluster
	resetDialRefused resetCode = 7 // the host refuses connections to the port
	resetUnreachable resetCode = 8 // the host can't be reached
)

var (
	errStreamKind = errors.New("a stream of unknown kind")
	errHostSize   = errors.New("a host of no or more than 255 characters")
)

// streamHeader is what the end that opens a stream writes first.
type streamHeader struct {
	kind streamKind
	port uint16
	host string // only of streams to a host in the cluster
}

// leadsOut reports whether streams of this kind lead to a host in the cluster, which their header names.
func (k streamKind) leadsOut() bool { return k == forwardStream || k == datagramStream }

func (h streamHeader) bytes() []byte {
	buf := binary.BigEndian.AppendUint16([]byte{byte(h.kind)}, h.port)
	if h.kind.leadsOut() {
		buf = append(append(buf, byte(len(h.host))), h.host...) //nolint:gosec // see Forward.Host
	}
	return buf
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
	case forwardStream, datagramStream:
		return h, readHost(r, &h.host)
	default:
		return streamHeader{}, fmt.Errorf("%w: %d", errStreamKind, h.kind)
	}
}

func readHost(r io.Reader, host *string) error {
	var size [1]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	if size[0] == 0 {
		return errHostSize
	}
	buf := make([]byte, size[0])
	_, err := io.ReadFull(r, buf)
	*host = string(buf)
	return err
}
