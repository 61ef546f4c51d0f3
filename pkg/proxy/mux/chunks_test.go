// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"bytes"
	"testing"
)

// What is read, in either way and in turn, is what came, and all of it.
func TestChunks(t *testing.T) {
	t.Parallel()
	var c chunks
	var came, got []byte
	for i, size := range []int{1, 100, 3 * maxPayload, 5, smallChunk + 1, maxPayload} {
		data := bytes.Repeat([]byte{byte(i + 1)}, size)
		came = append(came, data...)
		if i%2 == 0 {
			c.append(data)
		} else {
			c.push(append(newChunk(min(size, maxPayload)), data...))
		}
		p := make([]byte, size/3)
		got = append(got, p[:c.read(p)]...)
	}
	for c.size > 0 {
		taken, size := c.take(maxPayload + 10)
		if size == 0 || len(taken) > 1 && size > maxPayload+10 {
			t.Fatalf("took %d bytes in %d buffers", size, len(taken))
		}
		got = append(got, bytes.Join(taken, nil)...)
		Free(taken)
	}
	if !bytes.Equal(got, came) {
		t.Errorf("%d bytes came, and %d others were read", len(came), len(got))
	}
	if taken, size := c.take(1); taken != nil || size != 0 {
		t.Errorf("there is more: %d bytes", size)
	}
}
