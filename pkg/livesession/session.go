// SPDX-License-Identifier: Apache-2.0

// Package livesession lets the sessions that run on this machine tell others of the same user what they do. Each one
// answers at a socket of its own; there is no daemon, and no file that could be out of date.
//
// # Where
//
// Sockets are Unix sockets, on Windows too, each one named by its session's ID in a directory of the user's own:
//
//   - $XDG_RUNTIME_DIR/kubectl-velo, if that variable is the absolute path of a directory that this user owns;
//   - else on macOS ~/Library/Caches/kubectl-velo/run, and on Windows %LocalAppData%\kubectl-velo\run;
//   - else $TMPDIR/kubectl-velo-UID, $TMPDIR being /tmp if it isn't set. The home directory is no place for it, since
//     machines may share that.
//
// The directory has mode 0700 and a socket 0600. One that belongs to somebody else, that others may enter, or that is a
// symbolic link is refused, by who would answer there and by who would ask: see [UnsafeDirectoryError]. On Windows the
// access list that the directory inherits keeps others out, and isn't looked at.
//
// What a session leaves when it dies without an end refuses connections, and is removed by whoever lists next.
//
// # What is said
//
// Whoever connects is sent one JSON object in UTF-8, a [Session], of at most 4 MiB, and then the end of the stream.
// Nothing is read from them. The field version is 1. It changes when a field comes to mean something else or is gone;
// readers refuse a version that they don't know and ignore fields that they don't know.
//
// # What always holds
//
//   - Everything has a deadline: neither a session that hangs nor one who asks and doesn't listen holds up anybody.
//   - A session has at most 16 connections open for this, however many ask.
//   - Asking changes nothing in a session.
package livesession

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// version of what sessions say.
const version = 1

// maxSize is how many bytes a session may say. A dependency takes a few hundred.
const maxSize = 4 << 20

// Session is what a session says of itself.
type Session struct {
	// Version of the format, ID of the session and PID of its process are set by [Serve].
	Version int    `json:"version"`
	ID      string `json:"id"`
	PID     int    `json:"pid"`
	Kind    Kind   `json:"kind"`
	// Context is the kubeconfig's context that leads to the cluster, or its API server's host where there is none.
	Context string `json:"context,omitempty"`
	// Namespace is the workload's.
	Namespace string `json:"namespace"`
	// Name is what it runs instead of, with the environment of, or forwards to, as TYPE/NAME: svc/web, deployment/web. Of
	// several it is the first.
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
	// Ports are those that are intercepted.
	Ports []Port `json:"ports,omitempty"`
	// Dependencies are those that are forwarded, in the order in which they are to be listed.
	Dependencies []Dependency `json:"dependencies,omitempty"`
	// Forwards are the ports of this machine that are forwarded to pods.
	Forwards []Forward `json:"forwards,omitempty"`
}

// Kind is what a session is for.
type Kind string

// The kinds of sessions.
const (
	Intercept   Kind = "intercept"
	Run         Kind = "run"
	PortForward Kind = "forward"
)

// Port is a port of a Service whose connections arrive on this machine.
type Port struct {
	// Name of the Service's port, if it has one.
	Name string `json:"name,omitempty"`
	// Port is its number in the Service.
	Port uint16 `json:"port"`
	// Protocol is tcp or udp.
	Protocol string `json:"protocol"`
	// Local is where connections arrive, as HOST:PORT.
	Local string `json:"local"`
}

// Dependency is a port in the cluster that is forwarded to this machine.
type Dependency struct {
	// Name is the host that the configuration calls it by: orders, db.data, pod-0.db.
	Name string `json:"name"`
	// Namespace is its Service's; empty for a host that is no Service.
	Namespace string `json:"namespace,omitempty"`
	Port      uint16 `json:"port"`
	// Protocol is tcp or udp.
	Protocol string `json:"protocol"`
	// Local is the address on this machine that leads to it, as IP:PORT.
	Local string `json:"local,omitempty"`
	State State  `json:"state,omitempty"`
	// Reason of the state, for people: why it failed, what it waits for.
	Reason string `json:"reason,omitempty"`
	// Connections is the number of those that are open now; of UDP, how many clients have been heard of lately.
	Connections int64 `json:"connections"`
	// BytesSent and BytesReceived are what went to the dependency and what came from it since the session began: bytes
	// of its connections, without what the tunnel adds.
	BytesSent     int64 `json:"bytesSent"`
	BytesReceived int64 `json:"bytesReceived"`
	// RoundTripMicros is how long a round trip to it took when that was last measured, in microseconds; 0 if it never
	// was.
	RoundTripMicros int64 `json:"roundTripMicros,omitempty"`
	// Evidence is where it was found, and what is said there, as WHERE:NAME (EXCERPT), such as
	// "environment:ORDERS_URL (http://orders:8080)" or "args (db:5432)". Name and excerpt may be missing. It has no
	// secrets.
	Evidence []string `json:"evidence,omitempty"`
	// Notes are what looks wrong about it, for people.
	Notes []string `json:"notes,omitempty"`
}

// Forward is a port of this machine that is forwarded to pods.
type Forward struct {
	// Name is what has the pods, as TYPE/NAME: service/web, deployment/web, pod/web-0.
	Name string `json:"name"`
	// Port is that of Name, as it was asked for: a number or a name.
	Port string `json:"port"`
	// Local are the addresses on this machine that lead there, as IP:PORT.
	Local []string `json:"local"`
	// Pods are those that new connections may go to.
	Pods []string `json:"pods,omitempty"`
	// State is ready or waiting, Reason what it waits for, for people, and StateSince when that began.
	State      State     `json:"state,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	StateSince time.Time `json:"stateSince"`
	// Reconnects is how often a connection to a pod was replaced because it, or its pod, had gone.
	Reconnects int64 `json:"reconnects"`
	// Connections is the number of those that are open now.
	Connections int64 `json:"connections"`
	// BytesSent and BytesReceived are what went to pods and what came from them since the session began.
	BytesSent     int64 `json:"bytesSent"`
	BytesReceived int64 `json:"bytesReceived"`
	// Bypass is there while a production path of Name is broken.
	Bypass *Bypass `json:"bypass,omitempty"`
}

// Bypass is what a forward stands in for.
type Bypass struct {
	// Since when it has.
	Since time.Time `json:"since"`
	// Paths are those that are broken, with the reason, for people:
	// "ingress shop/web → service shop/web: selector app=web-v2 matches no pod".
	Paths []string `json:"paths"`
}

// State is what becomes of new connections to a local address.
type State string

// The states of a dependency, and of a forward.
const (
	// Ready means that the last connection reached it, or that none was tried and nothing speaks against it.
	Ready State = "ready"
	// Waiting means that connections are held until something is there again: the tunnel, the dependency's pods.
	Waiting State = "waiting"
	// Failed means that the last connection didn't reach it.
	Failed State = "failed"
)

// errVersion is for sessions of another version of the plugin.
var errVersion = errors.New("it is of another version of the plugin")

// read reads all that a session says.
func read(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxSize:
		return nil, fmt.Errorf("it says more than %d bytes", maxSize)
	case len(data) == 0:
		return nil, io.ErrUnexpectedEOF
	}
	return data, nil
}

// decode understands what the session of an ID says.
func decode(data []byte, id string) (Session, error) {
	var s Session
	err := json.Unmarshal(data, &s)
	if err != nil {
		// Of another version, anything else may differ.
		s.Version = version
		_ = json.Unmarshal(data, &struct {
			Version *int `json:"version"`
		}{&s.Version})
	}
	switch {
	case s.Version != version:
		return Session{}, fmt.Errorf("%w: it says version %d, and this is %d", errVersion, s.Version, version)
	case err != nil:
		return Session{}, fmt.Errorf("reading what it says: %w", err)
	case s.ID != id:
		return Session{}, fmt.Errorf("it says that it is session %q", s.ID)
	}
	return s, nil
}
