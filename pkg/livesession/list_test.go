// SPDX-License-Identifier: Apache-2.0

package livesession

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patient is for tests of what works, however busy the machine.
const patient = time.Minute

// start runs a session until the test ends, or the returned function is called.
func start(t *testing.T, dir, id string, describe func() Session) (end func()) {
	t.Helper()
	listener, err := listen(t.Context(), dir, id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, describe) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving session %s: %v", id, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, id)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("session %s has left its socket: %v", id, err)
		}
	})
	t.Cleanup(end)
	return end
}

// occupy makes a socket whose connections a function deals with, in order.
func occupy(t *testing.T, dir, id string, deal func(net.Conn)) {
	t.Helper()
	listener, err := listen(t.Context(), dir, id)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			deal(conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
}

// leave makes a socket as a dead session leaves it.
func leave(t *testing.T, dir, id string, age time.Duration) (path string) {
	t.Helper()
	listener, err := listen(t.Context(), dir, id)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	path = filepath.Join(dir, id)
	then := time.Now().Add(-age)
	if err := errors.Join(listener.Close(), os.Chtimes(path, then, then)); err != nil {
		t.Fatal(err)
	}
	return path
}

func newDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "s")
}

func ids(sessions []Session) string {
	var all []string
	for _, s := range sessions {
		all = append(all, s.ID)
	}
	return strings.Join(all, " ")
}

func TestList(t *testing.T) {
	dir := newDir(t)
	sessions, errs := list(t.Context(), dir, patient)
	if sessions != nil || errs != nil {
		t.Errorf("without a directory: %v, %v", sessions, errs)
	}
	for i, id := range []string{"b", "a", "c"} {
		start(t, dir, id, func() Session { return aSession(id, newYear().Add(-time.Duration(i/2)*time.Hour)) })
	}
	// What is no session's is left alone.
	for _, name := range []string{"README", "d"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sessions, errs = list(t.Context(), dir, patient)
	if got, want := ids(sessions), "c a b"; got != want || errs != nil {
		t.Errorf("sessions %s, %v; want %s", got, errs, want)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 5 {
		t.Errorf("afterwards there are %v, %v", entries, err)
	}
}

func TestServe(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, "1a2b", func() Session { return Session{Kind: Run, Namespace: "shop"} }) }()
	var sessions []Session
	for len(sessions) == 0 {
		var errs []error
		if sessions, errs = List(t.Context()); len(errs) > 0 {
			t.Fatal(errs)
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		default:
		}
	}
	if s := sessions[0]; s.Version != version || s.ID != "1a2b" || s.PID != os.Getpid() || s.Kind != Run || s.Namespace != "shop" {
		t.Errorf("it is %+v", s)
	}
	if err := Serve(ctx, "1a2b", nil); err == nil {
		t.Error("two sessions have the same ID")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if sessions, errs := List(t.Context()); sessions != nil || errs != nil {
		t.Errorf("afterwards there are %v, %v", sessions, errs)
	}
}

func TestStale(t *testing.T) {
	dir := newDir(t)
	start(t, dir, "a", func() Session { return aSession("a", newYear()) })
	old, young := leave(t, dir, "b", youngest), leave(t, dir, "c", 0)
	sessions, errs := list(t.Context(), dir, patient)
	if got := ids(sessions); got != "a" || errs != nil {
		t.Errorf("sessions %s, %v", got, errs)
	}
	if _, err := os.Lstat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old socket is still there: %v", err)
	}
	// It may be one that is about to listen.
	if _, err := os.Lstat(young); err != nil {
		t.Errorf("the young socket: %v", err)
	}
}

// TestBroken lists one good session among others that aren't.
func TestBroken(t *testing.T) {
	dir := newDir(t)
	start(t, dir, "good", func() Session { return aSession("good", newYear()) })
	says := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
	occupy(t, dir, "dumb", says(""))
	occupy(t, dir, "garbage", says("garbage"))
	occupy(t, dir, "newer", says(`{"version":2}`))
	occupy(t, dir, "other", says(`{"version":1,"id":"good"}`))
	occupy(t, dir, "endless", func(conn net.Conn) {
		blanks := []byte(strings.Repeat(" ", 1<<16))
		for {
			if _, err := conn.Write(blanks); err != nil {
				break
			}
		}
		_ = conn.Close()
	})
	sessions, errs := list(t.Context(), dir, patient)
	if got := ids(sessions); got != "good" {
		t.Errorf("sessions %s", got)
	}
	var got []string
	for _, err := range errs {
		if _, ok := errors.AsType[*SessionError](err); !ok {
			t.Errorf("%v is no SessionError", err)
		}
		got = append(got, err.Error())
	}
	want := []string{
		"asking session dumb: unexpected EOF",
		"asking session endless: it says more than 4194304 bytes",
		"asking session garbage: reading what it says: invalid character 'g' looking for beginning of value",
		"asking session newer: it is of another version of the plugin: it says version 2, and this is 1",
		`asking session other: it says that it is session "good"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("the errors are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestHanging lists one session that answers among two that don't, or not to the end.
func TestHanging(t *testing.T) {
	const patience = 2 * time.Second // of which the good one needs but a little
	dir := newDir(t)
	start(t, dir, "good", func() Session { return aSession("good", newYear()) })
	var hung sync.WaitGroup
	release := make(chan struct{})
	t.Cleanup(hung.Wait)
	occupy(t, dir, "hangs", func(conn net.Conn) {
		hung.Go(func() {
			<-release
			_ = conn.Close()
		})
	})
	occupy(t, dir, "slow", func(conn net.Conn) {
		hung.Go(func() {
			_, _ = io.WriteString(conn, `{"version":1,`)
			<-release
			_ = conn.Close()
		})
	})
	t.Cleanup(func() { close(release) })
	began := time.Now()
	sessions, errs := list(t.Context(), dir, patience)
	if took := time.Since(began); took < patience || took > 5*patience {
		t.Errorf("it took %v", took)
	}
	if got := ids(sessions); got != "good" {
		t.Errorf("sessions %s", got)
	}
	const want = "asking session hangs: it doesn't answer within 2s\nasking session slow: it doesn't answer within 2s"
	if got := errors.Join(errs...); got == nil || got.Error() != want {
		t.Errorf("the errors are\n%v\nwant\n%s", got, want)
	}
}

func TestEndOfList(t *testing.T) {
	dir := newDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	occupy(t, dir, "hangs", func(conn net.Conn) {
		cancel()
		<-release
		_ = conn.Close()
	})
	sessions, errs := list(ctx, dir, patient)
	close(release)
	if sessions != nil || len(errs) != 1 || !errors.Is(errs[0], context.Canceled) {
		t.Errorf("list: %v, %v", sessions, errs)
	}
}

// TestEnding is of a session that ends while it is asked: there is nothing wrong with it, and nothing to list.
func TestEnding(t *testing.T) {
	dir := newDir(t)
	occupy(t, dir, "ends", func(conn net.Conn) {
		_ = os.Remove(filepath.Join(dir, "ends"))
		_ = conn.Close()
	})
	if sessions, errs := list(t.Context(), dir, patient); sessions != nil || errs != nil {
		t.Errorf("list: %v, %v", sessions, errs)
	}
}

// TestMany has 50 sessions of 40 dependencies, 3 who list them at once, and sessions that end meanwhile.
func TestMany(t *testing.T) {
	const sessions, listers, ending = 50, 3, 10
	dir := newDir(t)
	var ends []func()
	for i := range sessions {
		s := aSession(fmt.Sprintf("s%02d", i), newYear().Add(time.Duration(i)*time.Minute))
		for len(s.Dependencies) < 40 {
			s.Dependencies = append(s.Dependencies, s.Dependencies[0])
		}
		ends = append(ends, start(t, dir, s.ID, func() Session { return s }))
	}
	var work sync.WaitGroup
	for range listers {
		work.Go(func() {
			got, errs := list(t.Context(), dir, patient)
			if len(got) != sessions || errs != nil || !slices.IsSortedFunc(got, func(a, b Session) int { return a.Since.Compare(b.Since) }) {
				t.Errorf("%d sessions, %v", len(got), errs)
			}
		})
	}
	work.Wait()
	for _, end := range ends[:ending] {
		work.Go(end)
	}
	work.Go(func() {
		if got, errs := list(t.Context(), dir, patient); len(got) < sessions-ending || errs != nil {
			t.Errorf("while some end: %d sessions, %v", len(got), errs)
		}
	})
	work.Wait()
	if got, errs := list(t.Context(), dir, patient); len(got) != sessions-ending || errs != nil {
		t.Errorf("after some ended: %d sessions, %v", len(got), errs)
	}
}

// TestDeafClients ask and don't listen; others are answered all the same.
func TestDeafClients(t *testing.T) {
	dir := newDir(t)
	s := aSession("a", newYear())
	s.Name = strings.Repeat("x", maxSize/2) // more than a socket holds
	end := start(t, dir, "a", func() Session { return s })
	for range 2 * maxAnswers {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", filepath.Join(dir, "a"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	if sessions, errs := list(t.Context(), dir, patient); len(sessions) != 1 || errs != nil {
		t.Errorf("%d sessions, %v", len(sessions), errs)
	}
	// New ones don't hold up its end either.
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	end()
	if took := time.Since(began); took > deadline/2 {
		t.Errorf("the session's end took %v", took)
	}
	_ = conn.Close()
}
