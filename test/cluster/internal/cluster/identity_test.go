// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
)

// fakeProc is a /proc with what this package reads of one.
type fakeProc struct {
	t   *testing.T
	dir string
}

func newFakeProc(t *testing.T, boot string) fakeProc {
	p := fakeProc{t, t.TempDir()}
	p.write("sys/kernel/random/boot_id", boot+"\n")
	return p
}

func (p fakeProc) write(file, data string) {
	p.t.Helper()
	path := filepath.Join(p.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// process adds a process, as the kernel shows one.
func (p fakeProc) process(pid int, name, state string, parent, threads int, start uint64) {
	p.write(strconv.Itoa(pid)+"/stat", fmt.Sprintf("%d (%s) %s %d 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 %d 0 %d 9 9\n",
		pid, name, state, parent, threads, start))
	p.write(strconv.Itoa(pid)+"/environ", "A=1\x00")
	p.write(strconv.Itoa(pid)+"/mountinfo", "1 0 254:0 / / rw - ext4 /dev/vda rw\n")
	p.write(strconv.Itoa(pid)+"/ns/net", "")
}

func TestIdentityAlive(t *testing.T) {
	recorded := identity{PID: 42, Start: 1000, Boot: "boot-1"}
	for _, tt := range []struct {
		name    string
		boot    string
		process func(fakeProc)
		want    bool
	}{
		{"runs", "boot-1", func(p fakeProc) { p.process(42, "etcd", "S", 1, 8, 1000) }, true},
		{"its name is made to mislead", "boot-1", func(p fakeProc) { p.process(42, "a) Z 1 (b", "R", 1, 1, 1000) }, true},
		{"gone", "boot-1", func(fakeProc) {}, false},
		{"the pid is another's", "boot-1", func(p fakeProc) { p.process(42, "etcd", "S", 1, 8, 2000) }, false},
		{"the machine was restarted", "boot-2", func(p fakeProc) { p.process(42, "etcd", "S", 1, 8, 1000) }, false},
		{"zombie", "boot-1", func(p fakeProc) { p.process(42, "etcd", "Z", 1, 1, 1000) }, false},
		{"zombie with threads that still end", "boot-1", func(p fakeProc) { p.process(42, "etcd", "Z", 1, 3, 1000) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proc := newFakeProc(t, tt.boot)
			tt.process(proc)
			if got := recorded.aliveIn(proc.dir); got != tt.want {
				t.Errorf("alive = %v, want %v", got, tt.want)
			}
		})
	}
	if (identity{}).alive() {
		t.Error("no process at all is alive")
	}
}

// Whatever else goes wrong, a process that only has the pid must not be hit.
func TestSignalSparesAnotherProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	id, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}

	another := id
	another.Start--
	if err := another.signal(os.Kill); err != nil {
		t.Error(err)
	}
	if !id.alive() {
		t.Fatal("a signal to an earlier process with its pid has ended it")
	}
	if err := id.signal(os.Kill); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("a process that was killed has ended well")
	}
	if id.alive() {
		t.Error("alive after it was killed and reaped")
	}
	if err := id.signal(os.Kill); err != nil {
		t.Errorf("signalling a process that has ended: %v", err)
	}
}
