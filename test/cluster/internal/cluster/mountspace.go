// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The daemons have a mount namespace of their own: what they and the pods mount is out of the machine's sight and goes
// with the namespace, and the directories that no configuration can move elsewhere are not the machine's. So they
// neither meet another containerd or kubelet nor leave anything there.

// mountspaceFile keeps the mount namespace alive.
const mountspaceFile = RunDir + "/mnt"

// ownDirs are those directories. In the namespace each is one below StateDir.
var ownDirs = []string{
	"/run/containerd",     // sockets of shims, state of runc
	"/var/lib/cni",        // results of CNI plugins
	"/var/lib/kubelet",    // sockets of device plugins
	"/var/log/containers", // links to pods' logs
}

// makeMountspace makes the namespace.
func makeMountspace(ctx context.Context) error {
	if err := makeMountPoints(); err != nil {
		return err
	}
	if err := os.WriteFile(mountspaceFile, nil, 0o600); err != nil {
		return err
	}
	// A mount namespace can be kept only on a mount that is not passed on to it.
	for _, args := range [][]string{{"--bind", RunDir, RunDir}, {"--make-private", RunDir}} {
		if err := run(exec.CommandContext(ctx, "mount", args...)); err != nil {
			return err
		}
	}
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, dir := range ownDirs {
		own := statePath("own", strings.ReplaceAll(dir[1:], "/", "-"))
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
		fmt.Fprintf(&script, "mount --bind %s %s\n", own, dir)
	}
	return run(exec.CommandContext(ctx, "unshare", "--mount="+mountspaceFile, "sh", "-c", script.String()))
}

// makeMountPoints makes the directories of ownDirs that the machine does not have, and notes which before it does.
func makeMountPoints() error {
	var missing []string
	for _, dir := range ownDirs {
		for d := dir; ; d = filepath.Dir(d) {
			if _, err := os.Stat(d); err == nil {
				break
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			missing = append(missing, d)
		}
	}
	data, err := json.Marshal(missing)
	if err != nil {
		return err
	}
	if err := writeFile(statePath("created.json"), data, 0o600); err != nil {
		return err
	}
	for _, dir := range ownDirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// removeMountPoints removes those again, unless the machine has put them to use.
func removeMountPoints() error {
	data, err := os.ReadFile(statePath("created.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var created []string
	if err := errors.Join(err, json.Unmarshal(data, &created)); err != nil {
		return fmt.Errorf("removing mount points: %w", err)
	}
	slices.SortFunc(created, func(a, b string) int { return len(b) - len(a) }) // what is below first
	for _, dir := range created {
		_ = os.Remove(dir) // fails unless it is empty
	}
	return nil
}
