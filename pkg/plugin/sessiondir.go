// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

const (
	sessionDirPrefix = "kubectl-velo-files-"
	sessionLock      = "lock"
	// lockedSoon is how long a new directory may be without its lock.
	lockedSoon = time.Minute
)

// sessionDir is a directory of a session's own, for files that may be secret. Its session holds a lock in it, which the system
// lets go when the session dies, however that happens: the next one removes what was left.
type sessionDir struct {
	path string
	lock *os.File
}

func newSessionDir() (*sessionDir, error) {
	removeAbandoned(filepath.Join(os.TempDir(), sessionDirPrefix+"*"))
	path, err := os.MkdirTemp("", sessionDirPrefix)
	if err != nil {
		return nil, err
	}
	d := &sessionDir{path: path}
	d.lock, err = os.OpenFile(filepath.Join(path, sessionLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		_, err = tryLock(d.lock)
	}
	if err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

func (d *sessionDir) remove() error {
	var err error
	if d.lock != nil {
		err = d.lock.Close() // first: Windows deletes no file that is open
	}
	return errors.Join(os.RemoveAll(d.path), err)
}

// removeAbandoned removes directories whose sessions have died. One that can't be looked at, as another user's, stays.
func removeAbandoned(pattern string) {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return
	}
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			continue
		}
		if isAbandoned(dir) {
			_ = os.RemoveAll(dir)
		}
	}
}

func isAbandoned(dir string) bool {
	lock, err := os.OpenFile(filepath.Join(dir, sessionLock), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		info, err := os.Lstat(dir)
		return err == nil && time.Since(info.ModTime()) > lockedSoon
	}
	if err != nil {
		return false
	}
	defer lock.Close()
	free, err := tryLock(lock)
	return err == nil && free
}
