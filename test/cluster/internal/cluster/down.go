// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Down removes the machine's cluster, whichever clone started it and however far that came. Nothing of it stays but
// what .cluster keeps: bin, images and logs.
func (c *Cluster) Down(ctx context.Context) error {
	if err := preflightDown(); err != nil {
		return err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	found, err := c.found()
	if err != nil {
		return err
	}
	if !found {
		c.out.printf("✔ no cluster is up")
		return nil
	}
	return c.takeDown(ctx)
}

// found tells whether there is anything to take down.
func (c *Cluster) found() (bool, error) {
	for _, path := range []string{RunDir, StateDir, c.Kubeconfig(), c.IngressURLFile()} {
		if _, err := os.Lstat(path); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	left, err := processes(procfs, 0)
	return len(left) > 0, err
}

// takeDown removes what there is. It goes on after an error, to leave as little as possible.
func (c *Cluster) takeDown(ctx context.Context) error {
	return c.out.Do("taking down the cluster", func() error {
		var errs error
		// What is offered goes first, so that nobody takes it up.
		for _, dir := range []string{c.Dir(), ownerDir()} {
			for _, file := range []string{"kubeconfig", "ingress-url"} {
				if err := os.Remove(filepath.Join(dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					errs = errors.Join(errs, err)
				}
			}
		}
		if err := killAll(ctx); err != nil {
			return errors.Join(errs, err) // with processes left the rest can't be right
		}
		return errors.Join(errs,
			restoreSysctls(),
			removeCgroups(ctx),
			removeTree(RunDir), // both namespaces go, and with them what is mounted and connected there
			removeMountPoints(),
			removeTree(StateDir), // last: it survives a reboot, so the next down knows what there was
		)
	})
}

// setOwner notes which clone's cluster this is, where a reboot does not erase it.
func (c *Cluster) setOwner() error { return writeFile(statePath("owner"), []byte(c.Dir()), 0o600) }

// ownerDir returns the .cluster directory of the clone that started the cluster, or a directory that has nothing.
func ownerDir() string {
	data, err := os.ReadFile(statePath("owner"))
	if err != nil {
		return RunDir
	}
	return string(data)
}
