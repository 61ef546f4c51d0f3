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

// ProtocolVersion is the version of docs/wire-protocol.md that both ends here speak.
const ProtocolVersion = 1

const (
	magic         = "velo"
	helloHeader   = len(magic) + 1 + 2
	maxHelloBody  = 4096
	helloDeadline = 10 * time.Second
)

var (
	// ErrVersion is what a [VersionError] is.
	ErrVersion = errors.New("the other end of the tunnel speaks another version of its protocol")
	// ErrRejected is returned by [Connect] when the proxy refuses the session; it wraps the proxy's reason.
	ErrRejected = errors.New("the traffic-proxy refused the session")

	// errUnknownTunnel means that there is nothing to resume.
	errUnknownTunnel = errors.New("the traffic-proxy doesn't know this tunnel any more")

	// errAsked is the end of a connection that only asked for an answer.
	errAsked = errors.New("somebody asked for the traffic-proxy's version")

	errNotVelo   = errors.New("the other end of the tunnel is not kubectl velo")
	errHelloSize = fmt.Errorf("a hello of more than %d bytes", maxHelloBody)
)

// VersionError is returned when the other end speaks another version of the protocol. It is an [ErrVersion].
type VersionError struct {
	// Protocol is the version that the other end speaks.
	Protocol int
	// Program is the other end's own version, or "" if it doesn't say it.
	Program string
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%v: %d, not %d", ErrVersion, e.Protocol, ProtocolVersion)
}

// Is makes it an [ErrVersion].
func (e *VersionError) Is(target error) bool { return target == ErrVersion }

// hello is what the laptop's end says first.
type hello struct {
	// Version is the plugin's own. It decides nothing.
	Version string `json:"version,omitempty"`
	// Session is empty in a hello that asks for no more than an answer.
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
	// Version is the proxy's own. It decides nothing.
	Version string `json:"version,omitempty"`
	Error   string `json:"error,omitempty"`
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
	buf = append(buf, ProtocolVersion)
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
	if version != ProtocolVersion {
		return &VersionError{Protocol: int(version)}
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
	if other, ok := errors.AsType[*VersionError](err); ok {
		// What else such an answer says is why it is none.
		other.Program = a.Version
		return a, other
	}
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

// welcome reads the laptop's hello from conn and answers with what judge says to it. A hello of another version is answered
// in this one, for the other end to say so in words.
func welcome(conn net.Conn, version string, judge func(hello) (answer, error)) (hello, error) {
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
	a.Version = version
	if err != nil && !errors.Is(err, errAsked) {
		a.Error = err.Error()
	}
	if writeErr := writeHello(conn, a); writeErr != nil {
		return h, errors.Join(err, writeErr)
	}
	return h, err
}
