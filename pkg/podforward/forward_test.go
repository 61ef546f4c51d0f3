// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
)

func listenTCP(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Callers of all listeners are served over TCP, in both directions to their ends, until the context ends.
func TestServe(t *testing.T) {
	c := startFakeCluster(t, func(pod string, s fakeStream) {
		said, _ := io.ReadAll(s)
		_, _ = fmt.Fprintf(s, "%s heard %d bytes", pod, len(said))
		_ = s.Close()
	}, "a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listeners := []*net.TCPListener{listenTCP(t), listenTCP(t)}
	var serving sync.WaitGroup
	serving.Go(func() { c.forward.Serve(ctx, listeners...) })
	var callers sync.WaitGroup
	for i := range 20 {
		callers.Go(func() {
			conn, err := net.DialTCP("tcp", nil, listeners[i%2].Addr().(*net.TCPAddr))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if _, err := conn.Write(make([]byte, 100<<10)); err != nil {
				t.Error(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Error(err)
			}
			got, err := io.ReadAll(conn)
			if want := "a heard 102400 bytes"; string(got) != want || err != nil {
				t.Errorf("answered with %q, %v", got, err)
			}
		})
	}
	callers.Wait()

	// One that is there at the end is reset, and then there is nobody to connect to.
	last, err := net.Dial("tcp", listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	if _, err := last.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for c.forward.Traffic().Sent != 20*100<<10+1 { // until it is served
		select {
		case <-t.Context().Done():
			t.FailNow()
		case <-c.pool.Changed():
		}
	}
	cancel()
	serving.Wait()
	if _, err := last.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the last caller ends with %v", err)
	}
	if conn, err := net.Dial("tcp", listeners[1].Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("it is listened at still")
	}
}
