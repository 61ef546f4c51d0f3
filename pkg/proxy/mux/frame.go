// SPDX-License-Identifier: Apache-2.0

package mux

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

type kind uint8

const (
	kindData  kind = 1 // bytes of a stream
	kindLast  kind = 2 // the same, and the stream's data ends with them
	kindAck   kind = 3 // what has arrived of a stream, and how much more may come
	kindReset kind = 4 // a stream is broken off
	kindGone  kind = 5 // the answer to frames of a stream that is over
	kindPing  kind = 6
	kindPong  kind = 7
	kindBye   kind = 8 // the session is over
)

const (
	kindSize   = 1
	streamSize = 4
	offsetSize = 8
	lengthSize = 2
	wordSize   = 4
)

// headerSize is the size of a frame without its payload, or 0 if there is no such kind.
func (k kind) headerSize() int {
	switch k {
	case kindData, kindLast:
		return kindSize + streamSize + offsetSize + lengthSize
	case kindAck:
		return kindSize + streamSize + offsetSize + wordSize
	case kindReset:
		return kindSize + streamSize + wordSize
	case kindGone:
		return kindSize + streamSize
	case kindPing, kindPong:
		return kindSize + offsetSize
	case kindBye:
		return kindSize
	default:
		return 0
	}
}

// maxPayload is the most that one data frame holds. It is less than a frameReader's buffer by more than a header.
const maxPayload = 32 << 10

var (
	errKind    = errors.New("a frame of unknown kind")
	errPayload = fmt.Errorf("a frame with more than %d bytes of data", maxPayload)
)

// frame is one frame of any kind. Fields that its kind doesn't have are zero.
type frame struct {
	kind   kind
	stream uint32
	// offset is, of data, that of its first byte; of an ack, the one up to which everything has arrived, the end of data
	// counting as one byte; of a ping and its pong, the sender's clock.
	offset uint64
	// word is, of an ack, how many bytes beyond offset the other end may send; of a reset, its code.
	word    uint32
	payload []byte
}

// append appends the frame as it is sent.
func (f *frame) append(buf []byte) []byte {
	buf = append(buf, byte(f.kind))
	switch f.kind {
	case kindData, kindLast:
		buf = binary.BigEndian.AppendUint32(buf, f.stream)
		buf = binary.BigEndian.AppendUint64(buf, f.offset)
		buf = binary.BigEndian.AppendUint16(buf, uint16(len(f.payload))) //nolint:gosec // at most maxPayload
		buf = append(buf, f.payload...)
	case kindAck:
		buf = binary.BigEndian.AppendUint32(buf, f.stream)
		buf = binary.BigEndian.AppendUint64(buf, f.offset)
		buf = binary.BigEndian.AppendUint32(buf, f.word)
	case kindReset:
		buf = binary.BigEndian.AppendUint32(buf, f.stream)
		buf = binary.BigEndian.AppendUint32(buf, f.word)
	case kindGone:
		buf = binary.BigEndian.AppendUint32(buf, f.stream)
	case kindPing, kindPong:
		buf = binary.BigEndian.AppendUint64(buf, f.offset)
	case kindBye:
	}
	return buf
}

// frameReader reads frames.
type frameReader struct {
	r *bufio.Reader
	// size is that of the frame read last, which is still in r's buffer.
	size int
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, 2*maxPayload)}
}

// next reads a frame. Its payload is valid until next is called again.
func (r *frameReader) next() (frame, error) {
	if _, err := r.r.Discard(r.size); err != nil {
		return frame{}, err
	}
	r.size = 0
	size, err := r.peekSize()
	if err != nil {
		return frame{}, err
	}
	buf, err := r.r.Peek(size)
	if err != nil {
		return frame{}, broken(err)
	}
	r.size = size
	return parse(buf), nil
}

// buffered reports whether next wouldn't wait.
func (r *frameReader) buffered() bool {
	left := r.r.Buffered() - r.size
	if left == 0 {
		return false
	}
	// Nothing here can block: no more is asked for than there is.
	buf, _ := r.r.Peek(r.r.Buffered())
	buf = buf[r.size:]
	header := kind(buf[0]).headerSize() // with 0, next says what is wrong
	return left >= header && left >= header+payloadSize(buf)
}

// peekSize returns the size of the frame that comes next.
func (r *frameReader) peekSize() (int, error) {
	first, err := r.r.Peek(kindSize)
	if err != nil {
		return 0, err
	}
	k := kind(first[0])
	size := k.headerSize()
	if size == 0 {
		return 0, fmt.Errorf("%w: %d", errKind, k)
	}
	header, err := r.r.Peek(size)
	if err != nil {
		return 0, broken(err)
	}
	payload := payloadSize(header)
	if payload > maxPayload {
		return 0, errPayload
	}
	return len(header) + payload, nil
}

// payloadSize returns what a header, which is whole, says of its payload.
func payloadSize(header []byte) int {
	switch k := kind(header[0]); k {
	case kindData, kindLast:
		size := k.headerSize()
		return int(binary.BigEndian.Uint16(header[size-lengthSize : size]))
	default:
		return 0
	}
}

// parse decodes a frame that is whole.
func parse(buf []byte) frame {
	f := frame{kind: kind(buf[0])}
	buf = buf[kindSize:]
	switch f.kind {
	case kindData, kindLast:
		f.stream = binary.BigEndian.Uint32(buf)
		f.offset = binary.BigEndian.Uint64(buf[streamSize:])
		f.payload = buf[streamSize+offsetSize+lengthSize:]
	case kindAck:
		f.stream = binary.BigEndian.Uint32(buf)
		f.offset = binary.BigEndian.Uint64(buf[streamSize:])
		f.word = binary.BigEndian.Uint32(buf[streamSize+offsetSize:])
	case kindReset:
		f.stream = binary.BigEndian.Uint32(buf)
		f.word = binary.BigEndian.Uint32(buf[streamSize:])
	case kindGone:
		f.stream = binary.BigEndian.Uint32(buf)
	case kindPing, kindPong:
		f.offset = binary.BigEndian.Uint64(buf)
	case kindBye:
	}
	return f
}

// broken tells an end inside a frame from one between two.
func broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
