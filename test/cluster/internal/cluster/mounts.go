// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A mount is what of a line of /proc/PID/mountinfo matters here (proc_pid_mountinfo(5)).
type mount struct {
	point  string
	fstype string
}

// parseMount reads "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw".
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !ok || len(left) < 6 || len(right) < 1 {
		return mount{}, false
	}
	// The kernel writes these four characters in octal.
	point := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(left[4])
	return mount{point: point, fstype: right[0]}, true
}

// mountsBelow lists the mount points at or below the directories, the innermost first.
func mountsBelow(dirs ...string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(procfs, "self/mountinfo"))
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(data)) {
		m, ok := parseMount(line)
		for _, dir := range dirs {
			if ok && (m.point == dir || strings.HasPrefix(m.point, dir+"/")) {
				points = append([]string{m.point}, points...) // what was mounted last comes off first
			}
		}
	}
	return points, nil
}

// removeTree unmounts everything below dir and removes it. It removes nothing while a mount is left: below it could be
// a directory of the machine that a pod mounted.
func removeTree(dir string) error {
	points, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for _, p := range points {
		if err := unmount(p); err != nil {
			return fmt.Errorf("unmounting %s: %w", p, err)
		}
	}
	if points, err = mountsBelow(dir); err != nil || len(points) > 0 {
		return fmt.Errorf("removing %s: still mounted below it: %v (%w)", dir, points, err)
	}
	return os.RemoveAll(dir)
}
