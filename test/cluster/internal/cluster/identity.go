// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const sigterm = syscall.SIGTERM

// procfs is where /proc is; tests put one of their own in its place through the functions' arguments.
const procfs = "/proc"

// An identity names one process for good. A pid alone does not: the kernel gives it to another process later, the
// sooner if the machine was restarted.
type identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // when it started, in clock ticks since boot
	Boot  string `json:"boot"`  // the boot it started in
}

// identify returns the identity of the process that has pid now.
func identify(pid int) (identity, error) { return identifyIn(procfs, pid) }

func identifyIn(proc string, pid int) (identity, error) {
	stat, err := processStat(proc, pid)
	if err != nil {
		return identity{}, err
	}
	boot, err := bootID(proc)
	if err != nil {
		return identity{}, err
	}
	return identity{PID: pid, Start: stat.start, Boot: boot}, nil
}

// alive tells whether the very process still runs, or still holds on to what it had open. A zombie does neither, and
// nobody may ever reap it; but while other threads than the first have yet to end, only that one is a zombie.
func (id identity) alive() bool { return id.aliveIn(procfs) }

func (id identity) aliveIn(proc string) bool {
	if id.PID <= 0 {
		return false
	}
	boot, err := bootID(proc)
	if err != nil || boot != id.Boot {
		return false
	}
	stat, err := processStat(proc, id.PID)
	ended := (stat.state == "Z" || stat.state == "X") && stat.threads <= 1
	return err == nil && stat.start == id.Start && !ended
}

// signal signals the process if it is still the same. One that has ended is no error.
func (id identity) signal(sig os.Signal) error {
	p, err := os.FindProcess(id.PID) // holds on to the process, not to its number
	if err != nil || !id.alive() {
		return nil
	}
	defer func() { _ = p.Release() }() // gives back a handle, nothing more
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling process %d: %w", id.PID, err)
	}
	return nil
}

func bootID(proc string) (string, error) {
	data, err := os.ReadFile(filepath.Join(proc, "sys/kernel/random/boot_id"))
	return strings.TrimSpace(string(data)), err
}

// A stat is what of /proc/PID/stat matters here (proc_pid_stat(5)).
type stat struct {
	state   string // field 3
	parent  int    // field 4
	threads int    // field 20
	start   uint64 // field 22, clock ticks since boot
}

func processStat(proc string, pid int) (stat, error) {
	file := filepath.Join(proc, strconv.Itoa(pid), "stat")
	data, err := os.ReadFile(file)
	if err != nil {
		return stat{}, err
	}
	// Field 2 is the name in parentheses and may hold anything, parentheses too; no later field holds one.
	i := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[i+1:]))
	if i < 0 || len(fields) < 20 {
		return stat{}, fmt.Errorf("reading %s: not as expected", file)
	}
	parent, err1 := strconv.Atoi(fields[4-3])
	threads, err2 := strconv.Atoi(fields[20-3])
	start, err3 := strconv.ParseUint(fields[22-3], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return stat{}, fmt.Errorf("reading %s: %w", file, err)
	}
	return stat{fields[0], parent, threads, start}, nil
}
