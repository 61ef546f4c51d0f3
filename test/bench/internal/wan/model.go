// SPDX-License-Identifier: Apache-2.0

// Package wan is a long line between two network namespaces: two TUN devices and a pump that carries packets from one to
// the other after a delay, and loses some. It works on packets, so handshakes, slow start, windows, retransmissions and
// congestion control are the kernel's own, as they are far away.
//
// The same seed loses the same packets: the n-th of a direction is lost in every run, or in none.
package wan

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Config is what a line does to each direction.
type Config struct {
	// Delay is how long a packet takes from one end to the other: half a round trip.
	Delay time.Duration `json:"delay"`
	// Loss is the share of packets that are lost, 0 to 1.
	Loss float64 `json:"loss"`
	// Rate is the line's bandwidth in bytes per second; 0 is no limit.
	Rate int64 `json:"rate"`
	// Queue is how many bytes may wait for the line, beyond which packets are dropped; 0 is no limit. Only a Rate
	// makes any wait.
	Queue int64 `json:"queue"`
	// Seed chooses which packets are lost.
	Seed uint64 `json:"seed"`
}

// Counts are what became of a direction's packets.
type Counts struct {
	Carried int64 `json:"carried"`
	Lost    int64 `json:"lost"`    // by chance
	Dropped int64 `json:"dropped"` // by a full queue
	Bytes   int64 `json:"bytes"`   // carried
	// Late is the sum over the packets carried of how much longer than it should the line took, and Latest the most.
	Late   time.Duration `json:"late"`
	Latest time.Duration `json:"latest"`
}

// Add adds other counts.
func (c *Counts) Add(other Counts) {
	c.Carried += other.Carried
	c.Lost += other.Lost
	c.Dropped += other.Dropped
	c.Bytes += other.Bytes
	c.Late += other.Late
	c.Latest = max(c.Latest, other.Latest)
}

// Packets are on their way together until due.
type packets struct {
	due   time.Time
	count int
	data  []byte
}

// A direction is a queue of packets in the order in which they leave. Each takes equally long, so that is the order in
// which they come.
type direction struct {
	config Config
	chance *rand.Rand
	free   time.Time // when the line will have sent what waits for it

	mu     sync.Mutex
	more   sync.Cond
	queue  []packets
	closed bool
	counts Counts
}

func newDirection(config Config, number uint64) *direction {
	d := &direction{config: config, chance: rand.New(rand.NewPCG(config.Seed, number))}
	d.more.L = &d.mu
	return d
}

// lose draws for the next of the direction's packets.
func (d *direction) lose() bool { return d.config.Loss > 0 && d.chance.Float64() < d.config.Loss }

// lost counts packets that are.
func (d *direction) lost(count int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Lost += int64(count)
}

// accept decides about packets of a size in all that arrive now and aren't lost: when they are due at the other end, if
// ever.
func (d *direction) accept(count int, size int64, now time.Time) (due time.Time, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sent := now
	if d.config.Rate > 0 {
		if d.free.Before(now) {
			d.free = now
		}
		waiting := int64(d.free.Sub(now).Seconds() * float64(d.config.Rate))
		if d.config.Queue > 0 && waiting+size > d.config.Queue {
			d.counts.Dropped += int64(count)
			return time.Time{}, false
		}
		d.free = d.free.Add(time.Duration(float64(size) / float64(d.config.Rate) * float64(time.Second)))
		sent = d.free
	}
	return sent.Add(d.config.Delay), true
}

func (d *direction) push(p packets) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, p)
	if len(d.queue) == 1 {
		d.more.Signal()
	}
}

// take waits for packets and returns all there are, into the space of a slice that take has returned before.
func (d *direction) take(space []packets) []packets {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) == 0 && !d.closed {
		d.more.Wait()
	}
	taken := d.queue
	d.queue = space[:0]
	return taken
}

func (d *direction) carried(count int, size int64, late time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Carried += int64(count)
	d.counts.Bytes += size
	d.counts.Late += late * time.Duration(count)
	d.counts.Latest = max(d.counts.Latest, late)
}

func (d *direction) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.more.Broadcast()
}

// lap returns the counts since the last.
func (d *direction) lap() Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	counts := d.counts
	d.counts = Counts{}
	return counts
}
