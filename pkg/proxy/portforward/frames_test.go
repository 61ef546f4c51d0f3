// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"testing/iotest"
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
		w := &frameConn{Conn: to}
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
		w := &frameConn{Conn: to}
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

// reads is a connection that says something.
type reads struct {
	net.Conn
	io.Reader
}

func (r *reads) Read(p []byte) (int, error) { return r.Reader.Read(p) }

// What looks like a reset inside of other frames is none.
func framesWithResets() []byte {
	reset := func(stream byte) []byte { return []byte{0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, stream, 0, 0, 0, 5} }
	return bytes.Join([][]byte{
		reset(7),
		append([]byte{0, 0, 0, 3, 0, 0, 0, 16}, reset(9)...), // data
		{0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1},              // a ping
		reset(11),
		{0, 0, 0, 3, 1, 0, 0, 0},                // no data
		{0x80, 3, 0, 3, 0, 0, 0, 4, 0, 0, 0, 3}, // too short for a reset
		reset(13),
	}, nil)
}

// Resets are told, in whatever pieces they come, and everything is read as it came.
func TestResets(t *testing.T) {
	all := framesWithResets()
	for name, piecemeal := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "byte by byte": iotest.OneByteReader,
	} {
		t.Run(name, func(t *testing.T) {
			var told []uint32
			c := &frameConn{
				Conn:  &reads{Reader: piecemeal(bytes.NewReader(all))},
				reset: func(stream uint32) { told = append(told, stream) },
			}
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, all) {
				t.Errorf("read %x, %v", got, err)
			}
			if want := []uint32{7, 11, 13}; !slices.Equal(told, want) {
				t.Errorf("told are %v, want %v", told, want)
			}
		})
	}
}

func FuzzResets(f *testing.F) {
	f.Add(framesWithResets())
	f.Add([]byte{0x80, 3, 0, 3, 0, 0})
	f.Fuzz(func(t *testing.T, all []byte) {
		var told [2][]uint32
		for i, r := range []io.Reader{bytes.NewReader(all), iotest.OneByteReader(bytes.NewReader(all))} {
			c := &frameConn{Conn: &reads{Reader: r}, reset: func(stream uint32) { told[i] = append(told[i], stream) }}
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, all) {
				t.Errorf("read %x, %v", got, err)
			}
		}
		if !slices.Equal(told[0], told[1]) {
			t.Errorf("told are %v, and byte by byte %v", told[0], told[1])
		}
	})
}
