// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	// protocolVersion is the version of docs/wire-protocol.md that both ends here speak.
	protocolVersion = 1

	magic         = "velo"
	helloHeader   = len(magic) + 1 + 2
	maxHelloBody  = 4096
	helloDeadline = 10 * time.Second
)

var (
	// ErrVersion is returned when the other end speaks another version of the protocol.
	ErrVersion = errors.New("the other end of the tunnel speaks another version of the protocol")
	// ErrRejected is returned by [Connect] when the proxy refuses the session; it wraps the proxy's reason.
	ErrRejected = errors.New("the traffic-proxy refused the session")

	// errUnknownTunnel means that there is nothing to resume.
	errUnknownTunnel = errors.New("the traffic-proxy doesn't know this tunnel any more")

	errNotVelo   = errors.New("the other end of the tunnel is not kubectl velo")
	errHelloSize = fmt.Errorf("a hello of more than %d bytes", maxHelloBody)
)

// hello is what the laptop's end says first.
type hello struct {
	Session string   `json:"session"`
	Ports   []uint16 `json:"ports"`
	// Tunnel tells one tunnel of the session from those before it, Lane its transports from each other.
	Tunnel string `json:"tunnel"`
	Lane   int    `json:"lane"`
	// Resume is true if the tunnel exists already.
	Resume bool `json:"resume,omitempty"`
}

// answer is what the proxy says to a hello. An empty Error means that the session is on.
type answer struct {
	Error string `json:"error,omitempty"`
	// Unknown is true if the tunnel that was to be resumed doesn't exist, or not any more.
	Unknown bool `json:"unknown,omitempty"`
	// Passed is how many connections to the session's ports went to the origin pods because the session wasn't there.
	Passed int64 `json:"passed,omitempty"`
}

// writeHello writes a hello or an answer.
func writeHello(w io.Writer, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(body) > maxHelloBody {
		return errHelloSize
	}
	buf := make([]byte, 0, helloHeader+len(body))
	buf = append(buf, magic...)
	buf = append(buf, protocolVersion)
	buf = binary.BigEndian.AppendUint16(buf, uint16(len(body))) //nolint:gosec // at most maxHelloBody
	buf = append(buf, body...)
	_, err = w.Write(buf)
	return err
}

// readHello reads a hello or an answer into message. Where the other end speaks another version, message is filled
// all the same, as far as it can be understood, and the error is [ErrVersion].
func readHello(r io.Reader, message any) error {
	var header [helloHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return err
	}
	if string(header[:len(magic)]) != magic {
		return errNotVelo
	}
	version := header[len(magic)]
	size := binary.BigEndian.Uint16(header[len(magic)+1:])
	if size > maxHelloBody {
		return errHelloSize
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	err := json.Unmarshal(body, message)
	if version != protocolVersion {
		return fmt.Errorf("%w: %d, not %d", ErrVersion, version, protocolVersion)
	}
	return err
}

// greet says the laptop's hello on conn and returns the answer. A transport need not know deadlines: what is overdue
// is closed.
func greet(conn net.Conn, h hello) (answer, error) {
	overdue := time.AfterFunc(helloDeadline, func() { _ = conn.Close() })
	defer overdue.Stop()
	var a answer
	if err := writeHello(conn, h); err != nil {
		return a, fmt.Errorf("saying hello to the traffic-proxy: %w", err)
	}
	err := readHello(conn, &a)
	switch {
	case a.Unknown:
		return a, errUnknownTunnel
	case a.Error != "":
		return a, fmt.Errorf("%w: %s", ErrRejected, a.Error)
	case err != nil:
		return a, fmt.Errorf("reading the traffic-proxy's answer: %w", err)
	}
	return a, nil
}

// welcome reads the laptop's hello from conn and answers with what judge says to it.
func welcome(conn net.Conn, judge func(hello) (answer, error)) (hello, error) {
	var h hello
	overdue := time.AfterFunc(helloDeadline, func() { _ = conn.Close() })
	defer overdue.Stop()
	var a answer
	err := readHello(conn, &h)
	if err == nil {
		a, err = judge(h)
	} else if !errors.Is(err, ErrVersion) {
		return h, fmt.Errorf("reading a hello: %w", err)
	}
	if err != nil {
		a.Error = err.Error()
	}
	if writeErr := writeHello(conn, a); writeErr != nil {
		return h, errors.Join(err, writeErr)
	}
	return h, err
}
