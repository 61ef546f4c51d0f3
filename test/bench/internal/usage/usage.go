// SPDX-License-Identifier: Apache-2.0

// Package usage tells which processes have used the processors, from outside: it needs nothing of them. The cluster is on
// this machine, so all that a request passes is among them.
package usage

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is what the kernel counts times of processes in, on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// A Snapshot is how long processes and processors have worked so far.
type Snapshot struct {
	processes map[string]process // by pid and start
	all       time.Duration
}

type process struct {
	name         string
	used, waited time.Duration
}

// Take takes one. What it can't read has ended.
func Take() Snapshot {
	s := Snapshot{processes: map[string]process{}, all: allUsed("/proc/stat")}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		used, started, ok := parseStat(string(data))
		command, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if !ok || err != nil || len(command) == 0 {
			continue // a thread of the kernel has none
		}
		key := filepath.Dir(file) + "@" + started
		s.processes[key] = process{
			name: nameOf(strings.Split(string(command), "\x00")), used: used, waited: waitedBy(filepath.Dir(file)),
		}
	}
	return s
}

// Used is how much processor time processes took, by name, and for how long their threads could have worked but had to wait
// for a processor.
type Used struct {
	ByName, Waited map[string]time.Duration
	// All is that of the whole machine, with the kernel's own and of processes that came and went.
	All time.Duration
}

// Since is what was used since an earlier snapshot.
func (s Snapshot) Since(earlier Snapshot) Used {
	u := Used{ByName: map[string]time.Duration{}, Waited: map[string]time.Duration{}, All: s.all - earlier.all}
	for key, p := range s.processes {
		if used := p.used - earlier.processes[key].used; used > 0 {
			u.ByName[p.name] += used
			u.Waited[p.name] += max(p.waited-earlier.processes[key].waited, 0) // threads may have ended
		}
	}
	return u
}

// Write writes what was used, most first, and in parentheses waited for, as a row of a Markdown table after the cells in front.
func (u Used) Write(w io.Writer, front ...string) error {
	names := slices.SortedFunc(maps.Keys(u.ByName), func(a, b string) int {
		return cmp.Or(cmp.Compare(u.ByName[b], u.ByName[a]), cmp.Compare(a, b))
	})
	left := u.All
	parts := make([]string, 0, len(names)+1)
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %.2f (%.2f)", name, u.ByName[name].Seconds(), u.Waited[name].Seconds()))
		left -= u.ByName[name]
	}
	parts = append(parts, fmt.Sprintf("all else %.2f", max(left, 0).Seconds()))
	_, err := fmt.Fprintf(w, "| %s | %.2f | %s |\n", strings.Join(front, " | "), u.All.Seconds(),
		strings.Join(parts, ", "))
	return err
}

// parseStat reads /proc/PID/stat (proc(5)): fields 14 and 15 are the times, 22 is the start. The second is a name in
// parentheses, with anything in it.
func parseStat(stat string) (used time.Duration, started string, ok bool) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, "", false
	}
	fields := strings.Fields(stat[end+1:]) // the first is field 3
	if len(fields) < 20 {
		return 0, "", false
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, "", false
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0, "", false
	}
	return time.Duration(user+system) * tick, fields[19], true
}

// waitedBy adds up what the scheduler says of a process's threads: of three numbers the second is for how many nanoseconds
// the thread was ready and had to wait (Documentation/scheduler/sched-stats.rst of Linux).
func waitedBy(dir string) time.Duration {
	var sum time.Duration
	threads, _ := filepath.Glob(filepath.Join(dir, "task", "[0-9]*", "schedstat")) // the pattern is right
	for _, thread := range threads {
		data, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		if fields := strings.Fields(string(data)); len(fields) == 3 {
			waited, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel writes numbers
			sum += time.Duration(waited)
		}
	}
	return sum
}

// allUsed reads the first line of /proc/stat: cpu, user, nice, system, idle, iowait, irq, softirq, of which idle and
// iowait are none.
func allUsed(path string) time.Duration {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(data), "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 {
		return 0
	}
	var sum int64
	for _, i := range []int{1, 2, 3, 6, 7} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		sum += n
	}
	return time.Duration(sum) * tick
}

// nameOf is a program's name, with its command if it has one.
func nameOf(command []string) string {
	name := filepath.Base(command[0])
	if len(command) > 1 && command[1] != "" && !strings.HasPrefix(command[1], "-") &&
		!strings.ContainsAny(command[1], "/ {=") {
		name += " " + command[1]
	}
	return name
}
