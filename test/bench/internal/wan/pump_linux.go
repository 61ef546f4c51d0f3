// SPDX-License-Identifier: Apache-2.0

package wan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// small packets, which are nearly all, wait in buffers of their own size.
const small = 2 << 10

// errClosed is what a direction ends with when it is told to.
var errClosed = errors.New("closed")

// Pump carries packets between two devices until ctx ends. It closes both. Whenever a lap is asked for, it tells what it
// has done since the last, to the packets of the first device and to those of the second.
func Pump(ctx context.Context, config Config, near, far int, laps <-chan chan<- [2]Counts) error {
	there, back := newDirection(config, 1), newDirection(config, 2)
	g, ctx := errgroup.WithContext(ctx)
	// A read from a device can't be broken off, but waiting for one can: by this pipe, which becomes readable.
	var stop [2]int
	if err := unix.Pipe2(stop[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	for _, way := range []struct {
		d        *direction
		from, to int
	}{{there, near, far}, {back, far, near}} {
		free := &buffers{}
		g.Go(func() error { return way.d.readFrom(way.from, stop[0], free) })
		g.Go(func() error { return way.d.writeTo(ctx, way.to, free) })
	}
	g.Go(func() error {
		for {
			select {
			case lap := <-laps:
				lap <- [2]Counts{there.lap(), back.lap()}
				continue
			case <-ctx.Done():
			}
			there.close()
			back.close()
			return unix.Close(stop[1])
		}
	})
	err := g.Wait()
	if errors.Is(err, errClosed) {
		err = nil
	}
	return errors.Join(err, unix.Close(stop[0]), unix.Close(near), unix.Close(far))
}

// Hurry gives this process a processor before all others, where that may be had, and spares it pauses: a real line
// doesn't compete with those who use it. It is for a process that does nothing but [Pump].
func Hurry() error {
	// Nothing is thrown away but buffers beyond what has ever been needed at once.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	// Each goroutine comes back from the kernel to a processor of its own, as far as Go is concerned: to be given one
	// takes other threads, which have to be given a real one first.
	runtime.GOMAXPROCS(16)
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		// Threads to come have it from those that start them.
		attributes := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
		if err := unix.SchedSetAttr(tid, &attributes, 0); err != nil {
			return unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
		}
	}
	return nil
}

// buffers are where packets wait, kept to be used again.
type buffers struct {
	mu           sync.Mutex
	small, large [][]byte
}

// get returns an empty one for so many bytes.
func (b *buffers) get(bytes int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, size := &b.small, small
	if bytes > small {
		kept, size = &b.large, largest
	}
	if len(*kept) == 0 {
		return make([]byte, 0, size)
	}
	last := len(*kept) - 1
	buffer := (*kept)[last]
	*kept = (*kept)[:last]
	return buffer[:0]
}

func (b *buffers) free(data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if cap(data) == small {
		b.small = append(b.small, data)
	} else {
		b.large = append(b.large, data)
	}
}

func (d *direction) readFrom(fd, stop int, buffers *buffers) error {
	data := make([]byte, largest)
	ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(stop), Events: unix.POLLIN}}
	for {
		n, err := unix.Read(fd, data)
		switch {
		case errors.Is(err, unix.EAGAIN):
			if _, err := unix.Poll(ready, -1); err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("waiting for the device: %w", err)
			}
			if ready[1].Revents != 0 {
				return errClosed
			}
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("reading from the device: %w", err)
		}
		d.receive(parsePiece(data[:n]), time.Now(), buffers)
	}
}

// receive lets the packets of a piece that aren't lost go on, those together that stay together.
func (d *direction) receive(p piece, now time.Time, buffers *buffers) {
	send := func(from, to int) {
		if from == to {
			return
		}
		run := p.run(buffers.get(len(p.data)), from, to)
		if due, ok := d.accept(to-from, int64(len(run)-headerSize), now); ok {
			d.push(packets{due: due, count: to - from, data: run})
		} else {
			buffers.free(run)
		}
	}
	from, count := 0, p.packets()
	for i := range count {
		if d.lose() {
			d.lost(1)
			send(from, i)
			from = i + 1
		}
	}
	send(from, count)
}

func (d *direction) writeTo(ctx context.Context, fd int, buffers *buffers) error {
	// The kernel rounds a thread's sleeps up by its slack; Go's own timers are a millisecond late at times.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return err
	}
	var queue []packets
	for {
		queue = d.take(queue)
		if len(queue) == 0 {
			return errClosed
		}
		for i, p := range queue {
			for wait := time.Until(p.due); wait > 0; wait = time.Until(p.due) {
				if ctx.Err() != nil {
					return errClosed
				}
				duration := unix.NsecToTimespec(int64(wait))
				_ = unix.Nanosleep(&duration, nil) // cut short, it sleeps again
			}
			if err := send(fd, p.data); err != nil {
				return err
			}
			d.carried(p.count, int64(len(p.data)-headerSize), time.Since(p.due))
			buffers.free(p.data)
			queue[i] = packets{}
		}
	}
}

func send(fd int, data []byte) error {
	for {
		_, err := unix.Write(fd, data)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			// The kernel doesn't want this one: it is lost, as on any line.
			return nil
		default:
			return fmt.Errorf("writing to the device: %w", err)
		}
	}
}
