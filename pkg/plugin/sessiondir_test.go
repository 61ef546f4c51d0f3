// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSessionDir(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	alive, err := newSessionDir()
	if err != nil {
		t.Fatal(err)
	}
	dead, err := newSessionDir()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead.path, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dead.lock.Close(); err != nil { // as the end of its process does
		t.Fatal(err)
	}
	unborn := filepath.Join(tmp, sessionDirPrefix+"unborn")
	stillborn := filepath.Join(tmp, sessionDirPrefix+"stillborn")
	for _, dir := range []string{unborn, stillborn} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * lockedSoon)
	if err := os.Chtimes(stillborn, long, long); err != nil {
		t.Fatal(err)
	}
	next, err := newSessionDir()
	if err != nil {
		t.Fatal(err)
	}
	for path, stays := range map[string]bool{alive.path: true, dead.path: false, unborn: true, stillborn: false, next.path: true} {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) == stays {
			t.Errorf("%s: %v; it stays: %v", path, err, stays)
		}
	}
	for _, d := range []*sessionDir{alive, next} {
		if err := d.remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(d.path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", d.path)
		}
	}
}
