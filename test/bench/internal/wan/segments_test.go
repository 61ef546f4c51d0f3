// SPDX-License-Identifier: Apache-2.0

package wan

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// superPacket is what the kernel hands over for a payload, to be cut into packets of a size.
func superPacket(payload []byte, size int) []byte {
	const ipSize, tcpSize = 20, 32
	data := make([]byte, headerSize+ipSize+tcpSize, headerSize+ipSize+tcpSize+len(payload))
	data[0], data[1] = flagNeedsChecksum, typeTCP4
	binary.NativeEndian.PutUint16(data[2:], ipSize+tcpSize)
	binary.NativeEndian.PutUint16(data[4:], uint16(size))
	ip, tcp := data[headerSize:headerSize+ipSize], data[headerSize+ipSize:]
	ip[0], ip[8], ip[9] = 0x45, 64, protocolTCP
	binary.BigEndian.PutUint16(ip[2:], uint16(ipSize+tcpSize+len(payload)))
	binary.BigEndian.PutUint16(ip[4:], 100)
	copy(ip[12:], []byte{198, 18, 0, 1, 198, 18, 0, 2})
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip)))
	binary.BigEndian.PutUint32(tcp[4:], 0xffffff00) // it wraps
	tcp[12], tcp[13] = tcpSize/4<<4, flagFIN|flagPSH|flagCWR|0x10
	return append(data, payload...)
}

func TestRun(t *testing.T) {
	payload := make([]byte, 3500)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	data := superPacket(payload, 1000)
	p := parsePiece(data)
	if got := p.packets(); got != 4 {
		t.Fatalf("it is %d packets, not 4", got)
	}
	for _, test := range []struct {
		name     string
		from, to int
		flags    byte
		several  bool
	}{
		{"all", 0, 4, flagFIN | flagPSH | flagCWR | 0x10, true},
		{"the first", 0, 1, flagCWR | 0x10, false},
		{"the first two", 0, 2, flagCWR | 0x10, true},
		{"in the middle", 1, 3, 0x10, true},
		{"the last two", 2, 4, flagFIN | flagPSH | 0x10, true},
		{"the last", 3, 4, flagFIN | flagPSH | 0x10, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := p.run(nil, test.from, test.to)
			if want := payload[test.from*1000 : min(test.to*1000, 3500)]; !bytes.Equal(run[p.payload:], want) {
				t.Errorf("its payload is %d bytes, not %d, or others", len(run)-p.payload, len(want))
			}
			if several := run[1] == typeTCP4; several != test.several {
				t.Errorf("it is several packets: %v", several)
			}
			ip, tcp := run[p.ip:p.tcp], run[p.tcp:]
			if fold(sum(ip)) != 0xffff {
				t.Error("the checksum of its IP header is wrong")
			}
			if got := int(binary.BigEndian.Uint16(ip[2:])); got != len(run)-headerSize {
				t.Errorf("its length is %d, not %d", got, len(run)-headerSize)
			}
			if got, want := binary.BigEndian.Uint32(tcp[4:]), 0xffffff00+uint32(test.from*1000); got != want {
				t.Errorf("its sequence number is %d, not %d", got, want)
			}
			if tcp[13] != test.flags {
				t.Errorf("its flags are %x, not %x", tcp[13], test.flags)
			}
			if again := parsePiece(run); again.packets() != test.to-test.from {
				t.Errorf("it is %d packets, not %d", again.packets(), test.to-test.from)
			}
		})
	}
	if !bytes.Equal(data, superPacket(payload, 1000)) {
		t.Error("the piece itself has changed")
	}
}

func TestParsePieceOne(t *testing.T) {
	good := superPacket(make([]byte, 3500), 1000)
	for name, change := range map[string]func([]byte) []byte{
		"UDP":            func(d []byte) []byte { d[headerSize+9] = 17; return d },
		"IPv6":           func(d []byte) []byte { d[headerSize] = 0x65; return d },
		"not for a card": func(d []byte) []byte { d[1] = typeNone; return d },
		"no size":        func(d []byte) []byte { d[4], d[5] = 0, 0; return d },
		"short":          func(d []byte) []byte { return d[:30] },
		"no payload":     func(d []byte) []byte { return d[:headerSize+52] },
		"empty":          func([]byte) []byte { return nil },
	} {
		if p := parsePiece(change(bytes.Clone(good))); p.packets() != 1 {
			t.Errorf("%s: it is %d packets", name, p.packets())
		}
	}
}

func FuzzPiece(f *testing.F) {
	f.Add(superPacket(make([]byte, 3500), 1000), uint(1), uint(2))
	f.Fuzz(func(t *testing.T, data []byte, a, b uint) {
		if len(data) > largest {
			return
		}
		p := parsePiece(data)
		count := p.packets()
		from := int(a % uint(count))
		to := from + 1 + int(b%uint(count-from))
		if run := p.run(nil, from, to); len(run) > len(data) {
			t.Errorf("%d of %d packets are longer than all", to-from, count)
		}
	})
}
