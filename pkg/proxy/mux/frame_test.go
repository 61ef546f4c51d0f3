// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"
)

// samples are frames of every kind.
func samples() []frame {
	return []frame{
		{kind: kindData, stream: 1, offset: 1 << 40, payload: []byte("data")},
		{kind: kindData, stream: 3, payload: make([]byte, maxPayload)},
		{kind: kindLast, stream: 1<<32 - 1, offset: 7, payload: []byte("last")},
		{kind: kindLast, stream: 5, offset: 9, payload: []byte{}},
		{kind: kindAck, stream: 2, offset: 1<<64 - 1, word: 1<<32 - 1},
		{kind: kindReset, stream: 4, word: CodeMemory},
		{kind: kindGone, stream: 6},
		{kind: kindPing, offset: 8},
		{kind: kindPong, offset: 8},
		{kind: kindBye},
	}
}

func TestFrames(t *testing.T) {
	var wire []byte
	for _, f := range samples() {
		wire = f.append(wire)
	}
	readers := map[string]io.Reader{
		"at once":      bytes.NewReader(wire),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(wire)),
	}
	for name, r := range readers {
		t.Run(name, func(t *testing.T) {
			frames := newFrameReader(r)
			for _, want := range samples() {
				got, err := frames.next()
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("got %.80v, %v; want %.80v", got, err, want)
				}
			}
			if _, err := frames.next(); !errors.Is(err, io.EOF) {
				t.Errorf("%v instead of an end", err)
			}
		})
	}
}

func TestMalformedFrames(t *testing.T) {
	whole := (&frame{kind: kindData, stream: 1, payload: []byte("data")}).append(nil)
	tests := []struct {
		name string
		wire []byte
		want error
	}{
		{"kind 0", []byte{0}, errKind},
		{"unknown kind", []byte{9, 0, 0}, errKind},
		{"too much data", []byte{1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 1}, errPayload},
		{"cut in the header", whole[:7], io.ErrUnexpectedEOF},
		{"cut in the data", whole[:len(whole)-1], io.ErrUnexpectedEOF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := newFrameReader(bytes.NewReader(test.wire)).next(); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func FuzzFrames(f *testing.F) {
	var all []byte
	for _, sample := range samples() {
		if len(sample.payload) < maxPayload {
			f.Add(sample.append(nil))
			all = sample.append(all)
		}
	}
	f.Add(all)
	f.Add(all[:len(all)-5])
	f.Fuzz(func(t *testing.T, wire []byte) {
		frames := newFrameReader(bytes.NewReader(wire))
		var again []byte
		for {
			ready := frames.buffered()
			got, err := frames.next()
			if err != nil {
				if ready && !errors.Is(err, errKind) && !errors.Is(err, errPayload) {
					t.Errorf("a frame was said to be there, and then %v", err)
				}
				break
			}
			again = got.append(again)
		}
		if !bytes.HasPrefix(wire, again) {
			t.Errorf("%x was read and written as %x", wire, again)
		}
	})
}
