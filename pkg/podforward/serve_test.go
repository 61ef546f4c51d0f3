// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/portforward"
)

// A caller that a pod refuses is given to another one, with the same bytes, whatever it has said until then.
func TestRefusedGoesElsewhere(t *testing.T) {
	tests := []struct {
		name string
		said int
	}{
		{"nothing", 0},
		{"a few bytes", 10},
		{"as much as is kept", keepLimit},
		{"more than is kept", keepLimit + 100<<10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				text := strings.Repeat("0123456789", tt.said/10)
				c := newFakeCluster(t, func(pod string, s fakeStream) {
					if pod == "a" {
						_, _ = io.CopyN(io.Discard, s, int64(min(len(text), keepLimit)))
						s.fails(refusal)
						return
					}
					said, err := io.ReadAll(io.LimitReader(s, int64(len(text))))
					if err != nil {
						t.Error(err)
					}
					_, _ = fmt.Fprintf(s, "%s:%x", pod, sha256.Sum256(said))
					_ = s.Close()
				}, "a", "b")
				one := c.call()
				one.says(text)
				got, err := one.hears()
				if want := fmt.Sprintf("b:%x", sha256.Sum256([]byte(text))); got != want {
					t.Errorf("answered with %q, %v, want %q", got, err, want)
				}
				if refusals := c.forward.Traffic().Refusals; refusals.Count != 1 || !strings.Contains(refusals.Last, "pod a: ") {
					t.Errorf("refusals are %+v", refusals)
				}
			})
		})
	}
}

// A port that nobody listens at is tried for a while, and then the caller is reset.
func TestRefusedByAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, func(_ string, s fakeStream) { s.fails(refusal) }, "a", "b")
		began := time.Now()
		one := c.call()
		one.says("x")
		_, err := one.hears()
		if took := time.Since(began); !errors.Is(err, syscall.ECONNRESET) || took < refusalTimeout || took > refusalTimeout+2*time.Second {
			t.Errorf("ended with %v after %v", err, took)
		}
	})
}

// One that listens late is waited for.
func TestListensLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listening atomic.Bool
		c := newFakeCluster(t, func(pod string, s fakeStream) {
			if !listening.Load() {
				s.fails(refusal)
				return
			}
			echo(pod, s)
		}, "a")
		one := c.call()
		one.says("x")
		time.Sleep(2 * time.Second)
		listening.Store(true)
		if got, err := one.hears(); got != "a:x" {
			t.Errorf("answered with %q, %v", got, err)
		}
	})
}

// What may have been taken isn't said again, but for whole requests that are safe to repeat, and then only when the way or the
// pod has gone.
func TestBrokenBeforeAnAnswer(t *testing.T) {
	const get, post = "GET / HTTP/1.1\r\nHost: web\r\n\r\n", "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nhi"
	broken := &portforward.StreamError{Message: "error forwarding port 80: read tcp4 127.0.0.1:1->127.0.0.1:80: connection reset by peer"}
	tests := []struct {
		name, said string
		end        error // nil is an end in order
		goes       bool
		again      bool
	}{
		{name: "safe request, connection cut", said: get, end: portforward.ErrCut, again: true},
		{name: "two safe requests, connection cut", said: get + get, end: portforward.ErrCut, again: true},
		{name: "nothing, connection cut", end: portforward.ErrCut, again: true},
		{name: "nothing, ended by a pod that goes", goes: true, again: true},
		{name: "nothing, ended by a pod that stays"},
		{name: "half a request, connection cut", said: get[:20], end: portforward.ErrCut},
		{name: "other request, connection cut", said: post, end: portforward.ErrCut},
		{name: "no request, connection cut", said: "hello", end: portforward.ErrCut},
		{name: "safe request, broken by a pod that goes", said: get, end: broken, goes: true, again: true},
		{name: "safe request, ended by a pod that goes", said: get, goes: true, again: true},
		{name: "other request, broken by a pod that goes", said: post, end: broken, goes: true},
		{name: "safe request, broken by a pod that stays", said: get, end: broken},
		{name: "safe request, ended by a pod that stays", said: get},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c *fakeCluster
				c = newFakeCluster(t, func(pod string, s fakeStream) {
					_, _ = io.ReadFull(s, make([]byte, len(tt.said)))
					switch {
					case pod == "b":
						_, _ = io.WriteString(s, pod)
						_ = s.Close()
					case errors.Is(tt.end, portforward.ErrCut):
						c.pod(pod).unreachable.Store(true)
						c.pod(pod).cut()
					default:
						if tt.goes {
							c.goes(pod)
						}
						if tt.end == nil {
							_ = s.Close()
						} else {
							s.fails(tt.end)
						}
					}
				}, "a", "b")
				one := c.call()
				one.says(tt.said)
				got, err := one.hears()
				switch {
				case tt.again && got != "b":
					t.Errorf("answered with %q, %v", got, err)
				case !tt.again && tt.end == nil && !errors.Is(err, io.EOF), !tt.again && tt.end != nil && !errors.Is(err, syscall.ECONNRESET):
					t.Errorf("ended with %q, %v", got, err)
				}
			})
		})
	}
}

// One caller's reset ends nothing but its own stream.
func TestResetHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, echo, "a")
		other := c.call()
		for i := range 100 {
			one := c.call()
			one.says("x")
			if got, err := one.hears(); got != "a:x" {
				t.Fatalf("answered with %q, %v", got, err)
			}
			_ = one.SetLinger(0)
			_ = one.Close()
			<-one.served
			message := fmt.Sprint(i)
			other.says(message)
			if got, err := other.hears(); got != "a:"+message {
				t.Fatalf("answered with %q, %v", got, err)
			}
		}
		synctest.Wait()
		if got := c.pod("a").open(); got != 1 {
			t.Errorf("%d streams are open, want 1", got)
		}
		if got := c.pod("a").connections(); got != 2 || c.pool.Status().Reconnects != 0 {
			t.Errorf("%d connections and %d reconnects", got, c.pool.Status().Reconnects)
		}
	})
}

// While nobody can be reached, callers wait, and are answered when somebody can.
func TestHold(t *testing.T) {
	tests := []struct {
		name   string
		down   time.Duration
		answer bool
	}{
		{"for a while", 10 * time.Second, true},
		{"for too long", holdTimeout + 5*time.Second, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeCluster(t, echo, "a", "b")
				c.breakDown()
				synctest.Wait()
				one := c.call()
				one.says("x")
				time.AfterFunc(tt.down, c.repair)
				began := time.Now()
				got, err := one.hears()
				if answered := got != ""; answered != tt.answer {
					t.Errorf("answered with %q, %v", got, err)
				}
				if took, limit := time.Since(began), min(tt.down+2*time.Second, holdTimeout+time.Second); took > limit {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Who hangs up while waiting isn't given to a pod any more, and of too many the last are not held.
func TestHoldLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		c := newFakeCluster(t, func(pod string, s fakeStream) {
			calls.Add(1)
			echo(pod, s)
		}, "a")
		c.breakDown()
		synctest.Wait()
		var held []*client
		for range holdLimit {
			held = append(held, c.call())
		}
		synctest.Wait()
		if _, err := c.call().hears(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("one too many ended with %v", err)
		}
		for _, one := range held {
			_ = one.Close()
		}
		synctest.Wait()
		if got := c.forward.Traffic().Callers; got != 0 {
			t.Errorf("%d callers are still held", got)
		}
		last := c.call()
		last.says("x")
		c.repair()
		if got, err := last.hears(); got != "a:x" {
			t.Errorf("answered with %q, %v", got, err)
		}
		if got := calls.Load(); got != 1 {
			t.Errorf("%d calls have reached the pod, want 1", got)
		}
	})
}

// A caller that doesn't read keeps new callers away from its connection, and stops none of them.
func TestUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		piece := make([]byte, chunkSize)
		c := newFakeCluster(t, func(pod string, s fakeStream) {
			buf := make([]byte, 8)
			n, _ := s.Read(buf)
			if string(buf[:n]) != "flood" {
				_, _ = io.WriteString(s, pod+":"+string(buf[:n]))
				echo(pod, s)
				return
			}
			for range 2 * unreadLimit / chunkSize {
				if _, err := s.Write(piece); err != nil {
					return
				}
			}
			_ = s.Close()
		}, "a")
		flooded := c.call()
		flooded.says("flood")
		time.Sleep(time.Minute)
		for range 5 {
			one := c.call()
			one.says("x")
			if got, err := one.hears(); got != "a:x" {
				t.Errorf("answered with %q, %v", got, err)
			}
			_ = one.Close()
		}
		// Alone, it may take its time, and gets everything.
		if n, err := io.Copy(io.Discard, flooded); n != 2*unreadLimit || err != nil {
			t.Errorf("%d bytes and %v, want %d", n, err, 2*unreadLimit)
		}
	})
}

// One that doesn't read while others of its connection wait is reset in the end.
func TestUnreadIsEvicted(t *testing.T) {
	var b burden
	b.changed = func() {}
	synctest.Test(t, func(t *testing.T) {
		flooded, other := newAnswer(&b), newAnswer(&b)
		began := time.Now()
		for {
			c := chunks.Get().(*chunk)
			c.n = chunkSize
			flooded.put(c)
			if _, err := flooded.next(); err != nil {
				if !errors.Is(err, errStalls) {
					t.Errorf("it has ended with %v", err)
				}
				break
			}
			flooded.mu.Lock()
			flooded.queue = nil
			flooded.mu.Unlock()
		}
		if took := time.Since(began); took != stallPatience {
			t.Errorf("it took %v, want %v", took, stallPatience)
		}
		b.end(flooded)
		b.end(other)
		if b.total != 0 || b.heavy() {
			t.Errorf("what is left is %d bytes, heavy: %v", b.total, b.heavy())
		}
	})
}

// Bytes are counted once, however often they were said.
func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCluster(t, func(pod string, s fakeStream) {
			if pod == "a" {
				_, _ = s.Read(make([]byte, 10))
				s.fails(refusal)
				return
			}
			echo(pod, s)
		}, "a", "b")
		one := c.call()
		one.says("12345")
		if got, err := one.hears(); got != "b:12345" {
			t.Errorf("answered with %q, %v", got, err)
		}
		synctest.Wait()
		if got := c.forward.Traffic(); got.Sent != 5 || got.Received != 7 || got.Callers != 1 {
			t.Errorf("traffic is %+v", got)
		}
	})
}

// Waiting for an answer takes as long as the pod takes to listen, or says why there was none.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listening atomic.Bool
		c := newFakeCluster(t, func(pod string, s fakeStream) {
			if !listening.Load() {
				s.fails(refusal)
				return
			}
			echo(pod, s)
		}, "a")
		time.AfterFunc(time.Minute, func() { listening.Store(true) })
		began := time.Now()
		if err := c.forward.Await(t.Context()); err != nil || time.Since(began) < time.Minute || time.Since(began) > 62*time.Second {
			t.Errorf("Await: %v, after %v", err, time.Since(began))
		}
	})
}

func TestRepeatable(t *testing.T) {
	tests := []struct {
		name, said string
		want       bool
	}{
		{"nothing", "", true},
		{"GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"HEAD", "HEAD / HTTP/1.0\r\n\r\n", true},
		{"OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"GET with a body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", false},
		{"GET with chunks", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"GET and half of another", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", false},
		{"DELETE", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false},
		{"TLS", "\x16\x03\x01\x02\x00", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := repeatable([]byte(tt.said)); got != tt.want {
				t.Errorf("repeatable is %v", got)
			}
		})
	}
}

func FuzzRepeatable(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), []byte("POST / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Fuzz(func(t *testing.T, one, other []byte) {
		// Two that are, are so together.
		if repeatable(one) && repeatable(other) && !repeatable(append(bytes.Clone(one), other...)) {
			t.Errorf("%q and %q are, but not together", one, other)
		}
	})
}
