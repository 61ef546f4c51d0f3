// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroupV2 tells whether the machine has the unified hierarchy alone.
func cgroupV2() bool {
	_, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers"))
	return err == nil
}

// makeCgroups makes the group that all pods are below, in every hierarchy, so that what is left is found by its name.
func makeCgroups() error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		dir := filepath.Join(h, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making cgroup: %w", err)
		}
		if h != cgroupRoot {
			continue
		}
		// In the unified hierarchy a group has the controllers its parent hands down.
		controllers, err := os.ReadFile(filepath.Join(h, "cgroup.controllers"))
		if err != nil {
			return err
		}
		var enable strings.Builder
		for c := range strings.FieldsSeq(string(controllers)) {
			enable.WriteString(" +" + c)
		}
		for _, dir := range []string{h, dir} {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(enable.String()), 0o644); err != nil {
				return fmt.Errorf("handing down cgroup controllers: %w", err)
			}
		}
	}
	// A cpuset group without processors or memory takes no process, and on v1 a new group starts without.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		parent, err := os.ReadFile(filepath.Join(cgroupRoot, "cpuset", file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(cgroupRoot, "cpuset", name, file), parent, 0o644)
		}
		if err != nil {
			return fmt.Errorf("setting up cgroup: %w", err)
		}
	}
	return nil
}

// removeCgroups removes that group and what is below it. The kernel lets go of a group only once its last process is
// really gone, a moment after the signal.
func removeCgroups(ctx context.Context) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	return await(ctx, "the cluster's cgroups to empty", 10*time.Second, func(context.Context) error {
		var all error
		for _, h := range hierarchies {
			all = errors.Join(all, removeCgroup(filepath.Join(h, name)))
		}
		return all
	})
}

// removeCgroup removes the group's subgroups, then itself; the files in a group go with it.
func removeCgroup(dir string) error {
	var groups []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	for _, g := range slices.Backward(groups) {
		if e := os.Remove(g); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// cgroupHierarchies lists the mounted hierarchies: one on a v2 machine, one per controller on v1.
func cgroupHierarchies() ([]string, error) {
	if cgroupV2() {
		return []string{cgroupRoot}, nil
	}
	data, err := os.ReadFile(filepath.Join(procfs, "self/mountinfo"))
	if err != nil {
		return nil, err
	}
	var dirs []string
	for line := range strings.Lines(string(data)) {
		if m, ok := parseMount(line); ok && strings.HasPrefix(m.fstype, "cgroup") {
			dirs = append(dirs, m.point)
		}
	}
	return dirs, nil
}
