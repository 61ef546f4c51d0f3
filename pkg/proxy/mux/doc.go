// SPDX-License-Identifier: Apache-2.0

// Package mux carries many streams between two ends over several connections at once, called lanes, and keeps the streams
// when lanes break: a session goes on as long as one lane lives, or a new one comes in time. Its frames are described in
// docs/wire-protocol.md.
//
// What always holds:
//
//   - The bytes of a stream arrive in order, once each, or the stream fails. No bytes are lost or repeated by a lane that
//     breaks, wherever it breaks.
//   - A stream nobody reads from stops only itself.
//   - What the other end can make this one keep is bounded; an end that breaks the protocol is cut off.
//   - [Session.Carry] returns only when its goroutines have ended. A session has none of its own.
//
// # How
//
// Every byte of a stream has an offset. Frames of a stream may travel on any lane and overtake each other; the receiver
// puts them in order and acknowledges, for each stream, up to where it has everything. The sender keeps what has not been
// acknowledged, with the lane it went out on, and sends it again when that lane breaks.
//
// Lanes pull: one that has written everything takes the next frames from what is waiting. Several lanes so share the
// bytes of a large stream by their speed. The first lane is left to streams that carry little, if there is another one:
// on a lane full of bulk a small answer would wait behind all that the network's buffers hold.
package mux
