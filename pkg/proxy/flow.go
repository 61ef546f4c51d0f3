// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
)

// flow carries datagrams in a stream, each after its length.
type flow struct{ stream }

const flowHeader = 2

var errDatagram = fmt.Errorf("a datagram of more than %d bytes", maxDatagram-1)

// Read reads one datagram. What doesn't fit p is lost, as with a socket. A stream that has ended reads as closed.
func (f *flow) Read(p []byte) (int, error) {
	var header [flowHeader]byte
	if _, err := io.ReadFull(f.stream, header[:]); err != nil {
		return 0, flowError(err)
	}
	size := int(binary.BigEndian.Uint16(header[:]))
	n, err := io.ReadFull(f.stream, p[:min(size, len(p))])
	if err == nil && n < size {
		_, err = io.CopyN(io.Discard, f.stream, int64(size-n))
	}
	return n, flowError(err)
}

// Write writes one datagram.
func (f *flow) Write(p []byte) (int, error) {
	if len(p) >= maxDatagram {
		return 0, errDatagram
	}
	buf := binary.BigEndian.AppendUint16(make([]byte, 0, flowHeader+len(p)), uint16(len(p))) //nolint:gosec // checked
	if _, err := f.stream.Write(append(buf, p...)); err != nil {
		return 0, flowError(err)
	}
	return len(p), nil
}

func (f *flow) Close() error { return f.stream.Close() }

func flowError(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return net.ErrClosed
}
