// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// gitDeadline is how long git may take to say whether it ignores a file.
const gitDeadline = 2 * time.Second

// Tracked is whether a file lies in a Git work tree that doesn't ignore it, so that it may well be committed. The file
// needn't exist yet. Without git on this machine, and where git doesn't know of a work tree, it isn't. An error is for
// a git that didn't answer.
func Tracked(ctx context.Context, path string) (bool, error) {
	// What git check-ignore ends with, as its manual has it: 0 means that it is ignored, 128 that there is no work
	// tree.
	const notIgnored = 1

	git, err := exec.LookPath("git")
	if err != nil {
		return false, nil // then nobody commits anything here
	}
	ctx, cancel := context.WithTimeoutCause(ctx, gitDeadline, fmt.Errorf("git took longer than %v", gitDeadline))
	defer cancel()
	check := exec.CommandContext(ctx, git, "-C", filepath.Dir(path), "check-ignore", "--quiet", "./"+filepath.Base(path))
	check.WaitDelay = gitDeadline
	err = check.Run()
	if ctx.Err() != nil {
		return false, fmt.Errorf("asking git about %s: %w", path, context.Cause(ctx))
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode() == notIgnored, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking git about %s: %w", path, err)
	}
	return false, nil
}
