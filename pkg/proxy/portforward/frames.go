// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"encoding/binary"
	"net"
)

// The parts of SPDY/3 frames that are looked at; see sections 2.2 and 2.6.3 of the SPDY protocol, draft 3.
const (
	// frameHeader is the size of the header that every frame has, data or control, and lengthMask the part of its second
	// half that is the length of what follows.
	frameHeader = 8
	lengthMask  = 1<<24 - 1
	// resetFrame are the first four bytes of a RST_STREAM, and resetSize is all of it: a stream's ID follows the header, and
	// a status.
	resetFrame = 0x80030003
	resetSize  = frameHeader + 8
	streamMask = 1<<31 - 1
)

// frameConn is a connection that SPDY's frames go over, as its framer doesn't see to it.
//
// It writes frames as a whole. Their framer writes each of them in up to nine pieces, and every piece would be a message of
// WebSocket and a record of TLS. And it tells which streams the other side has reset, before their readers hear of an end:
// they are told the same of a stream that has ended in order.
//
// Only one goroutine writes at a time, and one reads.
type frameConn struct {
	net.Conn

	// reset is called with the ID of a stream that was reset.
	reset func(stream uint32)

	begun []byte // a frame to write that isn't complete

	head    [resetSize]byte // of the frame that is being read
	have    int             // how much of that there is
	further int             // how much of the frame comes after it
}

func (c *frameConn) Write(p []byte) (int, error) {
	c.begun = append(c.begun, p...)
	whole := 0
	for {
		rest := c.begun[whole:]
		if len(rest) < frameHeader {
			break
		}
		size := frameHeader + following(rest)
		if len(rest) < size {
			break
		}
		whole += size
	}
	if whole == 0 {
		return len(p), nil
	}
	_, err := c.Conn.Write(c.begun[:whole])
	c.begun = append(c.begun[:0], c.begun[whole:]...)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// following is how many bytes follow a frame's header.
func following(header []byte) int { return int(binary.BigEndian.Uint32(header[4:]) & lengthMask) }

func (c *frameConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.look(p[:n])
	return n, err
}

// look looks for resets in what was read.
func (c *frameConn) look(p []byte) {
	for len(p) > 0 {
		if c.further > 0 {
			skipped := min(c.further, len(p))
			c.further -= skipped
			p = p[skipped:]
			continue
		}
		wanted := frameHeader
		if c.have >= frameHeader {
			wanted = resetSize
		}
		n := copy(c.head[c.have:wanted], p)
		c.have += n
		p = p[n:]
		if c.have < wanted {
			return
		}
		c.begins()
	}
}

// begins takes note of a frame, once there is enough of it.
func (c *frameConn) begins() {
	length := following(c.head[:])
	isReset := binary.BigEndian.Uint32(c.head[:]) == resetFrame && length == resetSize-frameHeader
	switch {
	case !isReset:
		c.further, c.have = length, 0
	case c.have == resetSize:
		c.have = 0
		c.reset(binary.BigEndian.Uint32(c.head[frameHeader:]) & streamMask)
	}
}
