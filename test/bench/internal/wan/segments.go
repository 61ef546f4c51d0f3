// SPDX-License-Identifier: Apache-2.0

package wan

import "encoding/binary"

// The kernel hands over what a connection sends in pieces of up to 64 KiB, each with a header (struct virtio_net_hdr,
// linux/virtio_net.h) that says into how many packets a network card would cut it. What is lost are packets.
const (
	headerSize = 10
	// largest is the most that comes at once.
	largest = 1<<16 + headerSize

	flagNeedsChecksum = 1 // in the header: the checksum is that of the pseudo header alone
	typeNone          = 0
	typeTCP4          = 1
	typeECN           = 0x80 // beside the type

	protocolTCP = 6
	flagFIN     = 0x01
	flagPSH     = 0x08
	flagCWR     = 0x80
)

// A piece is what the kernel hands over at once.
type piece struct {
	data []byte
	// ip and tcp are where these headers begin, payload where they end; all 0 for what is one packet.
	ip, tcp, payload int
	size             int // of a packet's payload; the last one's may be less
}

// parsePiece reads the headers. Whatever isn't several packets of TCP over IPv4 is one.
func parsePiece(data []byte) piece {
	one := piece{data: data}
	if len(data) < headerSize+40 || data[1]&^typeECN != typeTCP4 || data[0]&flagNeedsChecksum == 0 {
		return one
	}
	p := piece{data: data, ip: headerSize, size: int(binary.NativeEndian.Uint16(data[4:]))}
	p.tcp = p.ip + int(data[p.ip]&0x0f)*4
	if data[p.ip]>>4 != 4 || p.tcp < p.ip+20 || data[p.ip+9] != protocolTCP || len(data) < p.tcp+20 {
		return one
	}
	p.payload = p.tcp + int(data[p.tcp+12]>>4)*4
	if p.payload < p.tcp+20 || p.payload >= len(data) || p.size == 0 {
		return one
	}
	return p
}

// packets is how many packets the piece is.
func (p piece) packets() int {
	if p.size == 0 {
		return 1
	}
	return (len(p.data) - p.payload + p.size - 1) / p.size
}

// run appends a piece to space that is the packets from one up to another, as if the others had never been.
func (p piece) run(space []byte, from, to int) []byte {
	count := p.packets()
	if from == 0 && to == count {
		return append(space, p.data...)
	}
	start, end := p.payload+from*p.size, min(p.payload+to*p.size, len(p.data))
	run := append(append(space, p.data[:p.payload]...), p.data[start:end]...)
	if to-from == 1 {
		run[1] = typeNone
		clear(run[2:6]) // the headers' length, and the size
	}
	ip, tcp := run[p.ip:p.tcp], run[p.tcp:]
	be := binary.BigEndian
	be.PutUint16(ip[2:], uint16(len(run)-p.ip))
	be.PutUint16(ip[4:], be.Uint16(ip[4:])+uint16(from))
	clear(ip[10:12])
	be.PutUint16(ip[10:], ^fold(sum(ip)))
	be.PutUint32(tcp[4:], be.Uint32(tcp[4:])+uint32(from*p.size))
	if from > 0 {
		tcp[13] &^= flagCWR
	}
	if to < count {
		tcp[13] &^= flagFIN | flagPSH
	}
	be.PutUint16(tcp[16:], fold(sum(ip[12:20])+protocolTCP+uint32(len(tcp))))
	return run
}

// sum and fold are the Internet checksum's (RFC 1071), of an even number of bytes.
func sum(data []byte) (s uint32) {
	for i := 0; i+1 < len(data); i += 2 {
		s += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
