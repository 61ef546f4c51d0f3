// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// policyFile keeps Debian's packages from starting the services they bring, if it exits with 101
// (/usr/share/doc/init-system-helpers/README.policy-rc.d).
const policyFile = "/usr/sbin/policy-rc.d"

const policy = "#!/bin/sh\n# by velo-cluster, while it installs packages\nexit 101\n"

// keepServicesOff keeps services from starting until allow. A policy that the machine has stays in force; one that an
// earlier run of ours left when it was killed is ours to remove.
func keepServicesOff() (allow func(), err error) {
	have, err := os.ReadFile(policyFile)
	if err == nil && string(have) != policy {
		return func() {}, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := writeFile(policyFile, []byte(policy), 0o755); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(policyFile) }, nil
}

// installPackages installs Debian packages, and none of the services in them starts.
func (c *Cluster) installPackages(ctx context.Context, packages ...string) error {
	return c.out.DoLong("installing "+strings.Join(packages, " "), "about 20 s", func() error {
		allow, err := keepServicesOff()
		if err != nil {
			return err
		}
		defer allow()
		for _, args := range [][]string{
			{"update", "-q"},
			append([]string{"install", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"}, packages...),
		} {
			cmd := exec.CommandContext(ctx, "apt-get", args...)
			cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
			if err := run(cmd); err != nil {
				return err
			}
		}
		return nil
	})
}

// Require installs a Debian package unless the file it is wanted for is there.
func (c *Cluster) Require(ctx context.Context, pkg, file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	if err := c.installPackages(ctx, pkg); err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		return fmt.Errorf("package %s does not have %s", pkg, file)
	}
	return nil
}
