// SPDX-License-Identifier: Apache-2.0

package wan_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/netns"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/wan"
)

const device = "wan0"

// far and near are the addresses of a line's ends.
const near, far = "198.18.0.1", "198.18.0.2"

// joined joins two new namespaces by a line, and returns them and where to ask for what the line does.
func joined(t *testing.T, config wan.Config) (ends [2]*netns.Namespace, laps chan<- chan<- [2]wan.Counts) {
	t.Helper()
	if testing.Short() {
		t.Skip("it measures time, on a machine that does nothing else")
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	var devices [2]int
	addresses := [2]string{near, far}
	for i, own := range addresses {
		ns, err := netns.New()
		if err != nil {
			t.Skipf("no network namespace can be had here: %v", err)
		}
		t.Cleanup(ns.Close)
		open := func() (err error) {
			devices[i], err = wan.OpenTUN(device)
			return err
		}
		if err := ns.Do(open); err != nil {
			t.Skipf("no TUN device can be had here: %v", err)
		}
		if err := ns.IP(t.Context(), "link set lo up", "link set "+device+" addrgenmode none txqueuelen 20000",
			fmt.Sprintf("addr add %s peer %s dev %s", own, addresses[1-i], device),
			"link set "+device+" up"); err != nil {
			t.Fatal(err)
		}
		ends[i] = ns
	}
	ctx, cancel := context.WithCancel(t.Context())
	pumped, asked := make(chan error), make(chan chan<- [2]wan.Counts)
	go func() { pumped <- wan.Pump(ctx, config, devices[0], devices[1], asked) }()
	t.Cleanup(func() {
		cancel()
		if err := <-pumped; err != nil {
			t.Error(err)
		}
	})
	return ends, asked
}

// emulated has a socket at each end of a line. The far one sends back what it gets.
func emulated(t *testing.T, config wan.Config) (socket net.PacketConn, to net.Addr) {
	t.Helper()
	ends, _ := joined(t, config)
	var sockets [2]net.PacketConn
	for i, own := range []string{near, far} {
		listen := func() (err error) {
			sockets[i], err = new(net.ListenConfig).ListenPacket(t.Context(), "udp4", own+":0")
			return err
		}
		if err := ends[i].Do(listen); err != nil {
			t.Fatal(err)
		}
	}
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		data := make([]byte, 2000)
		for {
			n, from, err := sockets[1].ReadFrom(data)
			if err != nil {
				return
			}
			if _, err := sockets[1].WriteTo(data[:n], from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		for _, s := range sockets {
			_ = s.Close()
		}
		<-echoed
	})
	return sockets[0], sockets[1].LocalAddr()
}

// ping sends numbered datagrams, and returns how long those took that came back.
func ping(t *testing.T, socket net.PacketConn, to net.Addr, count int, interval time.Duration) []time.Duration {
	t.Helper()
	began := time.Now()
	times := make(chan []time.Duration)
	go func() {
		var all []time.Duration
		data := make([]byte, 2000)
		for len(all) < count {
			if _, _, err := socket.ReadFrom(data); err != nil {
				break // the deadline: what hasn't come is lost
			}
			all = append(all, time.Since(began)-time.Duration(binary.BigEndian.Uint64(data)))
		}
		times <- all
	}()
	data := make([]byte, 64)
	for range count {
		binary.BigEndian.PutUint64(data, uint64(time.Since(began)))
		if _, err := socket.WriteTo(data, to); err != nil {
			t.Error(err)
			break
		}
		time.Sleep(interval)
	}
	if err := socket.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Error(err)
	}
	return <-times
}

func TestRoundTrip(t *testing.T) {
	for _, rtt := range []time.Duration{20 * time.Millisecond, 180 * time.Millisecond} {
		t.Run(rtt.String(), func(t *testing.T) {
			socket, to := emulated(t, wan.Config{Delay: rtt / 2})
			times := ping(t, socket, to, 200, 2*time.Millisecond)
			if len(times) != 200 {
				t.Fatalf("%d of 200 datagrams came back", len(times))
			}
			slices.Sort(times)
			t.Logf("least %v, median %v, most %v", times[0], times[100], times[199])
			if times[0] < rtt {
				t.Errorf("one took %v, less than %v", times[0], rtt)
			}
			if ratio := float64(times[100]) / float64(rtt); ratio > 1.25 {
				t.Errorf("the median is %.3f times what was set", ratio)
			}
		})
	}
}

func TestLoss(t *testing.T) {
	const count = 10_000
	for _, loss := range []float64{0.01, 0.1} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			socket, to := emulated(t, wan.Config{Delay: time.Millisecond, Loss: loss, Seed: 1})
			got := len(ping(t, socket, to, count, 50*time.Microsecond))
			// It may be lost on its way there and on its way back.
			set := 1 - (1-loss)*(1-loss)
			ratio := (1 - float64(got)/count) / set
			t.Logf("%d of %d came back: %.3f times the loss that was set", got, count, ratio)
			// Five times the deviation that chance has.
			if deviation := math.Sqrt((1-set)/(set*count)) * 5; math.Abs(ratio-1) > deviation {
				t.Errorf("the loss is %.3f times what was set, which is not 1 ± %.3f", ratio, deviation)
			}
		})
	}
}

// The line's rate holds for what the sender believes to have sent at once.
func TestRate(t *testing.T) {
	const rate, count, size = 100_000, 100, 64 + 28 // bytes per second, datagrams, bytes of each with its headers
	socket, to := emulated(t, wan.Config{Rate: rate})
	began := time.Now()
	times := ping(t, socket, to, count, 0)
	if len(times) != count {
		t.Fatalf("%d of %d datagrams came back", len(times), count)
	}
	took := times[count-1]
	want := time.Duration(float64(count*size) / rate * float64(time.Second))
	t.Logf("the last took %v of %v, %v after the first was sent", took, want, time.Since(began))
	if ratio := float64(took) / float64(want); ratio < 0.9 || ratio > 1.3 {
		t.Errorf("it took %.3f times as long as the rate allows", ratio)
	}
}

// A connection gets everything through, however its pieces are taken apart, and loses as many packets as it should.
func TestTCP(t *testing.T) {
	const loss, size = 0.02, 50 << 20
	ends, laps := joined(t, wan.Config{Delay: 5 * time.Millisecond, Loss: loss, Seed: 1})
	var listener net.Listener
	err := ends[1].Do(func() (err error) {
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp4", far+":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sent, received := sha256.New(), sha256.New()
	done := make(chan error)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(conn, io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{}), size), sent))
			err = errors.Join(err, conn.Close())
		}
		done <- err
	}()
	var conn net.Conn
	err = ends[0].Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(t.Context(), "tcp4", listener.Addr().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n, err := io.Copy(received, conn); err != nil || n != size {
		t.Fatalf("%d bytes came: %v", n, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Error("other bytes came than were sent")
	}
	lap := make(chan [2]wan.Counts)
	laps <- lap
	back := (<-lap)[1]
	if packets := back.Carried + back.Lost; packets < size/1500 {
		t.Errorf("%d bytes took %d packets", size, packets)
	}
	ratio := float64(back.Lost) / float64(back.Carried+back.Lost) / loss
	t.Logf("%d packets were carried and %d lost: %.3f times the loss that was set", back.Carried, back.Lost, ratio)
	if ratio < 0.8 || ratio > 1.2 {
		t.Errorf("the loss is %.3f times what was set", ratio)
	}
}
