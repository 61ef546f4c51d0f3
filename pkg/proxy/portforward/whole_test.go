// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"bytes"
	"net"
	"testing"
)

// writes keeps what is written to it, call by call.
type writes struct {
	net.Conn

	all [][]byte
}

func (w *writes) Write(p []byte) (int, error) {
	w.all = append(w.all, bytes.Clone(p))
	return len(p), nil
}

// Frames are written whole, however they come.
func TestWholeFrames(t *testing.T) {
	data := append([]byte{0, 0, 0, 3, 0, 0, 0, 5}, "hello"...)
	empty := []byte{0, 0, 0, 3, 1, 0, 0, 0}
	ping := []byte{0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1}
	all := bytes.Join([][]byte{data, empty, ping}, nil)
	for size := 1; size <= len(all); size++ {
		to := &writes{}
		w := &wholeFrames{Conn: to}
		for rest := all; len(rest) > 0; {
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			if n, err := w.Write(piece); n != len(piece) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
		}
		if got := bytes.Join(to.all, nil); !bytes.Equal(got, all) {
			t.Errorf("in pieces of %d: written is %x", size, got)
		}
		if size == 1 && len(to.all) != 3 {
			t.Errorf("%d writes for three frames", len(to.all))
		}
	}
}

func FuzzWholeFrames(f *testing.F) {
	f.Add([]byte{0, 0, 0, 3, 0, 0, 0, 1, 'x', 0, 0, 0, 3, 1, 0, 0, 0}, 4)
	f.Fuzz(func(t *testing.T, all []byte, size int) {
		to := &writes{}
		w := &wholeFrames{Conn: to}
		for rest := all; len(rest) > 0; {
			piece := rest[:min(max(size, 1), len(rest))]
			rest = rest[len(piece):]
			_, _ = w.Write(piece)
		}
		if got := append(bytes.Join(to.all, nil), w.begun...); !bytes.Equal(got, all) {
			t.Errorf("%x became %x", all, got)
		}
	})
}
