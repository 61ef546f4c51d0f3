// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// killAll ends every process of the cluster, whoever its parent is by now: daemons, shims, containers, and commands
// that people run inside its network namespace. It looks again until it finds none, since a process may be forked
// while it looks.
func killAll(ctx context.Context) error {
	namespace, _ := inode(namespaceFile) // 0 if there is none
	return await(ctx, "the cluster's processes to end", 20*time.Second, func(context.Context) error {
		found, err := processes(procfs, namespace)
		if err != nil {
			return err
		}
		var left []string
		for _, p := range found {
			left = append(left, strconv.Itoa(p.PID))
			if err := p.signal(os.Kill); err != nil {
				return err
			}
		}
		if left != nil {
			return fmt.Errorf("processes %v still run", left)
		}
		return nil
	})
}

// processes finds the living processes of the cluster, except this one and those it descends from.
func processes(proc string, namespace uint64) ([]identity, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	self := ancestry(proc, os.Getpid())
	var found []identity
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || slices.Contains(self, pid) {
			continue
		}
		id, err := identifyIn(proc, pid)
		if err != nil { // ended meanwhile
			continue
		}
		if belongs(proc, pid, namespace) && id.aliveIn(proc) {
			found = append(found, id)
		}
	}
	return found, nil
}

// belongs tells whether a process is part of the cluster.
func belongs(proc string, pid int, namespace uint64) bool {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	// Daemons and what they fork, in the root namespace too.
	if env, err := os.ReadFile(filepath.Join(dir, "environ")); err == nil {
		if slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return string(v) == mark }) {
			return true
		}
	}
	// Programs that write over their environment, as nginx does, and commands that people run in there.
	if ino, err := inode(filepath.Join(dir, "ns/net")); err == nil && namespace != 0 && ino == namespace {
		return true
	}
	// Containers: the layers of their root file system are ours. Only such a process has ours as its root; the
	// machine's own mount namespace has them too, below RunDir.
	mounts, err := os.ReadFile(filepath.Join(dir, "mountinfo"))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(mounts) {
		if m, ok := parseMount(string(line)); ok && m.point == "/" {
			return bytes.Contains(line, []byte("="+StateDir+"/"))
		}
	}
	return false
}

// ancestry returns pid, its parent, and so on.
func ancestry(proc string, pid int) []int {
	var line []int
	for pid > 0 && !slices.Contains(line, pid) {
		line = append(line, pid)
		stat, err := processStat(proc, pid)
		if err != nil {
			break
		}
		pid = stat.parent
	}
	return line
}
