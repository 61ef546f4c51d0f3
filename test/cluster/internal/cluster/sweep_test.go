// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
)

func TestProcesses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs inodes")
	}
	proc := newFakeProc(t, "boot-1")
	self, shell, root := os.Getpid(), os.Getpid()+1, 1
	add := func(pid int, state string, parent, threads int) { proc.process(pid, "p", state, parent, threads, 7) }
	file := func(pid int, name, data string) { proc.write(filepath.Join(strconv.Itoa(pid), name), data) }
	marked := "A=1\x00" + mark + "\x00"

	add(root, "S", 0, 1)
	add(shell, "S", root, 1) // where this program was started, itself inside the cluster's namespace
	add(self, "S", shell, 4)
	file(self, "environ", marked)
	file(shell, "environ", marked)

	base := self + 100
	daemon, child, container, nginx := base, base+1, base+2, base+3
	bystander, lookalike, docker, zombie := base+10, base+11, base+12, base+13
	for _, pid := range []int{daemon, child, container, nginx, bystander, lookalike, docker} {
		add(pid, "S", root, 1)
	}
	add(zombie, "Z", root, 1)
	file(daemon, "environ", marked)
	file(child, "environ", mark+"\x00B=2\x00")
	file(zombie, "environ", marked)
	file(container, "mountinfo", "9 8 0:40 / / ro - overlay overlay rw,lowerdir="+StateDir+"/containerd/1/fs,upperdir="+StateDir+"/containerd/4/fs\n")
	file(nginx, "environ", "\x00\x00\x00")
	file(lookalike, "environ", "X"+mark+"\x00"+mark+"-2\x00")
	file(docker, "mountinfo", "9 8 0:40 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/1\n"+
		"10 9 254:0 "+StateDir+" /mnt"+StateDir+" rw - ext4 /dev/vda rw,x="+StateDir+"/\n")
	namespace, err := inode(filepath.Join(proc.dir, strconv.Itoa(nginx), "ns/net"))
	if err != nil {
		t.Fatal(err)
	}

	found, err := processes(proc.dir, namespace)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, id := range found {
		got = append(got, id.PID)
		if id.Start != 7 || id.Boot != "boot-1" {
			t.Errorf("identity %+v", id)
		}
	}
	slices.Sort(got)
	if want := []int{daemon, child, container, nginx}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v (daemon, its child, container, nginx)", got, want)
	}
}

func TestParseMount(t *testing.T) {
	m, ok := parseMount(`36 35 98:0 /mnt1 /run/a\040b\134 rw,noatime master:1 shared:2 - cgroup2 cgroup2 rw` + "\n")
	if want := (mount{`/run/a b\`, "cgroup2"}); !ok || m != want {
		t.Errorf("got %+v %v, want %+v", m, ok, want)
	}
	for _, bad := range []string{"", "36 35 98:0 / /x rw", "36 - ext4"} {
		if m, ok := parseMount(bad); ok {
			t.Errorf("parseMount(%q) = %+v", bad, m)
		}
	}
}
