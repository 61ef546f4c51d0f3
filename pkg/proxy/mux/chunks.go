// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"net"
	"sync"
)

const (
	// smallChunk is the size up to which a buffer is made to measure. Larger ones are all of maxPayload, and used again.
	smallChunk = 4 << 10
	// queuedChunk is the least size of one in a queue that has others: its cost is shared by what comes next.
	queuedChunk = 512
)

var largeChunks = sync.Pool{New: func() any { return new([maxPayload]byte) }}

// newChunk returns an empty buffer with room for size bytes, which is at most maxPayload.
func newChunk(size int) []byte {
	if size <= smallChunk {
		return make([]byte, 0, size)
	}
	return largeChunks.Get().(*[maxPayload]byte)[:0]
}

// freeChunk takes a buffer back that newChunk made.
func freeChunk(chunk []byte) {
	if cap(chunk) == maxPayload {
		largeChunks.Put((*[maxPayload]byte)(chunk[:maxPayload]))
	}
}

// chunks is a queue of bytes.
type chunks struct {
	queue []chunk
	size  int
}

type chunk struct {
	buf  []byte
	read int
}

func (c chunk) rest() []byte { return c.buf[c.read:] }

func (c *chunks) append(data []byte) {
	c.size += len(data)
	for len(data) > 0 {
		if n := len(c.queue); n > 0 {
			last := &c.queue[n-1]
			fits := min(len(data), cap(last.buf)-len(last.buf))
			last.buf = append(last.buf, data[:fits]...)
			data = data[fits:]
		}
		if len(data) > 0 {
			size := min(len(data), maxPayload)
			if len(c.queue) > 0 {
				size = max(size, queuedChunk)
			}
			c.queue = append(c.queue, chunk{buf: newChunk(size)})
		}
	}
}

// push appends a buffer that newChunk made.
func (c *chunks) push(buf []byte) {
	c.size += len(buf)
	c.queue = append(c.queue, chunk{buf: buf})
}

func (c *chunks) read(p []byte) int {
	var n int
	for n < len(p) && c.size > 0 {
		first := &c.queue[0]
		copied := copy(p[n:], first.rest())
		n += copied
		first.read += copied
		c.size -= copied
		if first.read == len(first.buf) {
			freeChunk(first.buf)
			*first = chunk{}
			c.queue = c.queue[1:]
		}
	}
	if c.size == 0 {
		c.queue = nil
	}
	return n
}

// take returns the first buffers, at least one, if there is any, and as long as it isn't more than limit.
func (c *chunks) take(limit int) (taken net.Buffers, size int) {
	for len(c.queue) > 0 && (size == 0 || size+len(c.queue[0].rest()) <= limit) {
		taken = append(taken, c.queue[0].rest())
		size += len(c.queue[0].rest())
		c.queue[0] = chunk{}
		c.queue = c.queue[1:]
	}
	c.size -= size
	if c.size == 0 {
		c.queue = nil
	}
	return taken, size
}

// Free takes back what [Stream.Take] has returned.
func Free(buffers net.Buffers) {
	for _, b := range buffers {
		freeChunk(b)
	}
}

func (c *chunks) drop() {
	for _, chunk := range c.queue {
		freeChunk(chunk.buf)
	}
	c.queue, c.size = nil, 0
}
