// SPDX-License-Identifier: Apache-2.0

package livesession

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

const (
	// forOwner is all that the modes of directories may allow.
	forOwner fs.FileMode = 0o700
	// ownerOnly is the mode of sockets.
	ownerOnly fs.FileMode = 0o600
)

// UnsafeDirectoryError is returned when others could pretend to be this user's sessions, or list them.
type UnsafeDirectoryError struct {
	// Path is the directory's.
	Path string
	// Reason is what is wrong with it.
	Reason string
	hint   string
}

func (e *UnsafeDirectoryError) Error() string {
	return fmt.Sprintf("the directory of sessions %s is not safe: %s", e.Path, e.Reason)
}

// Hint is what its reader can do about it.
func (e *UnsafeDirectoryError) Hint() string { return e.hint }

// directory returns where this user's sessions on this machine have their sockets. It needn't exist.
func directory() (string, error) {
	if runtimeDir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtimeDir) {
		// Under su and sudo it may be left from another user.
		if info, err := os.Stat(runtimeDir); err == nil && info.IsDir() && ofThisUser(info) {
			return filepath.Join(runtimeDir, "kubectl-velo"), nil
		}
	}
	switch runtime.GOOS {
	case "darwin", "ios", "windows":
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding the directory of sessions: %w", err)
		}
		return filepath.Join(cache, "kubectl-velo", "run"), nil
	}
	return filepath.Join(os.TempDir(), "kubectl-velo-"+strconv.Itoa(os.Geteuid())), nil
}

// prepare makes the directory if there is none. It stays, empty, when the last session has ended: where it is in a directory
// for all users, whoever removed it would let another user make one of the same name, after a session that begins has
// checked it and before that has its socket in it.
func prepare(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), forOwner); err != nil {
		return fmt.Errorf("making the directory of sessions: %w", err)
	}
	if err := os.Mkdir(dir, forOwner); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the directory of sessions: %w", err)
	}
	return check(dir)
}

// check refuses a directory that isn't this user's alone. One that doesn't exist is [fs.ErrNotExist].
func check(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("looking at the directory of sessions: %w", err)
	}
	unsafe := func(reason, hint string) error {
		return &UnsafeDirectoryError{Path: dir, Reason: reason, hint: hint}
	}
	const elsewhere = "remove it, or set XDG_RUNTIME_DIR to a directory of your own"
	switch {
	case !info.IsDir():
		return unsafe("it is no directory", elsewhere)
	case !ofThisUser(info):
		return unsafe("it belongs to another user", elsewhere)
	case runtime.GOOS != "windows" && info.Mode().Perm()&^forOwner != 0:
		return unsafe(fmt.Sprintf("others may enter it (mode %04o)", info.Mode().Perm()), "run 'chmod 700 "+dir+"'")
	}
	return nil
}

// checkID refuses what can't be the name of a socket.
func checkID(id string) error {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' {
			return fmt.Errorf("%q is no session ID: want digits, small letters and hyphens", id)
		}
	}
	if id == "" {
		return errors.New("the session has no ID")
	}
	return nil
}
